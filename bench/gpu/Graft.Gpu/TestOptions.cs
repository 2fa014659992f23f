using System.Globalization;

namespace Graft.Gpu;

/// <summary>Which tests are run, for how long, and where results go.</summary>
/// <param name="Assemblies">Names of test assemblies.</param>
/// <param name="Category">Only tests of this category; null for all.</param>
/// <param name="Match">Only tests whose full name contains this text, or one of several with commas between; null for all.</param>
/// <param name="Seconds">The whole run ends after this time, with what it has.</param>
/// <param name="Idle">A process in which nothing happened for so many seconds hangs.</param>
/// <param name="Folder">Where the journal and the summary go.</param>
internal sealed record TestOptions(IReadOnlyList<string> Assemblies, string? Category, string? Match, int Seconds, int Idle, string Folder)
{
    private static readonly string[] s_all = ["Graft.Runtime.Tests", "Graft.Models.Tests", "Graft.Training.Tests"];

    /// <summary>One line per test as it starts and ends: what a run that was killed leaves.</summary>
    public string Journal => Path.Combine(Folder, "journal.jsonl");

    /// <summary>Totals and failures.</summary>
    public string Summary => Path.Combine(Folder, "summary.json");

    public static TestOptions Parse(string[] args)
    {
        List<string> assemblies = [];
        Dictionary<string, string> values = [];
        for (int i = 0; i < args.Length; i++)
        {
            if (!args[i].StartsWith("--", StringComparison.Ordinal))
            {
                assemblies.Add(args[i]);
            }
            else if (args[i] is "--category" or "--match" or "--seconds" or "--idle" or "--out" && i + 1 < args.Length)
            {
                values[args[i]] = args[++i];
            }
            else
            {
                throw new ArgumentException($"'{args[i]}' is no option of tests, or has no value.");
            }
        }

        int Number(string name, int otherwise) => values.TryGetValue(name, out string? text) ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
        return new TestOptions(
            assemblies.Count > 0 ? assemblies : s_all,
            values.GetValueOrDefault("--category"),
            values.GetValueOrDefault("--match"),
            Number("--seconds", 3600),
            Number("--idle", 60),
            Path.GetFullPath(values.GetValueOrDefault("--out") ?? "."));
    }

    /// <summary>The same as a command line.</summary>
    public IEnumerable<string> ToArguments()
    {
        foreach (string assembly in Assemblies)
        {
            yield return assembly;
        }

        foreach ((string name, string? value) in ((string, string?)[])[("--category", Category), ("--match", Match), ("--out", Folder)])
        {
            if (value is not null)
            {
                yield return name;
                yield return value;
            }
        }
    }
}
