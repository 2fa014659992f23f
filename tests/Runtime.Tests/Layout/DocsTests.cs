using System.Text.RegularExpressions;

namespace Graft.Runtime.Tests.Layout;

/// <summary>Code in the documentation is code that compiles: a fence behind `&lt;!-- code: path --&gt;` stands word for word in that file.</summary>
[Category("Docs")]
public sealed partial class DocsTests
{
    public static IEnumerable<string> Pages() => FixtureFolder.Repository is not { } root ? [] :
        Directory.EnumerateFiles(Path.Combine(root, "docs"), "*.md").Append(Path.Combine(root, "README.md")).Select(f => Path.GetRelativePath(root, f)).Order(StringComparer.Ordinal);

    [TestCaseSource(nameof(Pages))]
    public void Marked_code_stands_in_a_file_that_is_compiled(string page)
    {
        string root = FixtureFolder.Repository!;
        foreach (Match match in Marked().Matches(File.ReadAllText(Path.Combine(root, page))))
        {
            string file = Path.Combine(root, match.Groups["path"].Value);
            Assert.That(file, Does.Exist, page);
            Assert.That(Lines(File.ReadAllText(file)), Does.Contain(Lines(match.Groups["code"].Value)), $"{page}: the code of {match.Groups["path"].Value}");
        }
    }

    [TestCaseSource(nameof(Pages))]
    public void Links_lead_somewhere(string page)
    {
        string folder = Path.GetDirectoryName(Path.Combine(FixtureFolder.Repository!, page))!;
        foreach (Match link in Link().Matches(File.ReadAllText(Path.Combine(FixtureFolder.Repository!, page))))
        {
            string target = link.Groups[1].Value.Split('#')[0];
            if (target.Length > 0 && !target.Contains("://", StringComparison.Ordinal))
            {
                Assert.That(Path.Exists(Path.Combine(folder, target)), $"{page} links to {target}");
            }
        }
    }

    // Indentation is not compared: a fence shows a part of a file from its margin.
    private static string Lines(string text) => string.Join('\n', text.Split('\n').Select(l => l.Trim()).Where(l => l.Length > 0));

    [GeneratedRegex("<!-- code: (?<path>[^ ]+) -->\\s*```csharp\\n(?<code>.*?)```", RegexOptions.Singleline)]
    private static partial Regex Marked();

    [GeneratedRegex("\\]\\(([^)\\s]+)\\)")]
    private static partial Regex Link();
}
