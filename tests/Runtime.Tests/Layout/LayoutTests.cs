using System.Xml.Linq;

namespace Graft.Runtime.Tests.Layout;

/// <summary>The house stands as docs/architecture.md says: references point down only, and rooms do not use what lies above them.</summary>
public sealed class LayoutTests
{
    private static readonly string[] s_order = ["Runtime", "Models", "Training", "Cli"];

    private static string Root
    {
        get
        {
            if (FixtureFolder.Repository is null)
            {
                Assert.Ignore("there is no checkout around this bundle of tests");
            }

            return FixtureFolder.Repository!;
        }
    }

    [Test]
    public void Project_references_point_down_only()
    {
        for (int i = 0; i < s_order.Length; i++)
        {
            string project = Path.Combine(Root, "src", s_order[i], s_order[i] + ".csproj");
            IEnumerable<string> references = XDocument.Load(project).Descendants("ProjectReference").Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value.Replace('\\', '/')));
            foreach (string reference in references)
            {
                Assert.That(Array.IndexOf(s_order, reference), Is.InRange(0, i - 1), $"{s_order[i]} references {reference}");
            }
        }
    }

    [Test]
    public void Namespaces_are_used_downwards_only()
    {
        List<string> wrong = [];
        for (int i = 0; i < s_order.Length; i++)
        {
            foreach (string file in Directory.EnumerateFiles(Path.Combine(Root, "src", s_order[i]), "*.cs", SearchOption.AllDirectories).Where(f => !f.Contains("/obj/", StringComparison.Ordinal)))
            {
                string text = File.ReadAllText(file);
                wrong.AddRange(s_order[(i + 1)..].Where(above => text.Contains($"Graft.{above}", StringComparison.Ordinal)).Select(above => $"{Path.GetRelativePath(Root, file)} uses Graft.{above}"));
            }
        }

        Assert.That(wrong, Is.Empty);
    }

    [Test]
    public void The_runtime_depends_on_system_numerics_tensors_alone()
    {
        IEnumerable<string> packages = XDocument.Load(Path.Combine(Root, "src", "Runtime", "Runtime.csproj")).Descendants("PackageReference").Select(p => p.Attribute("Include")!.Value);
        Assert.That(packages, Is.EqualTo(new[] { "System.Numerics.Tensors" }));
    }

    [Test]
    public void Nothing_that_ships_writes_to_a_console_or_ends_the_process()
    {
        string[] banned = ["Console.Write", "Console.Error", "Environment.Exit", "GC.Collect", "[DllImport", "Marshal.AllocHGlobal", "DateTime.Now", "new Random("];
        List<string> wrong = [];
        foreach (string library in s_order[..3])
        {
            foreach (string file in Directory.EnumerateFiles(Path.Combine(Root, "src", library), "*.cs", SearchOption.AllDirectories).Where(f => !f.Contains("/obj/", StringComparison.Ordinal)))
            {
                string text = File.ReadAllText(file);
                wrong.AddRange(banned.Where(b => text.Contains(b, StringComparison.Ordinal)).Select(b => $"{Path.GetRelativePath(Root, file)}: {b}"));
            }
        }

        Assert.That(wrong, Is.Empty);
    }
}
