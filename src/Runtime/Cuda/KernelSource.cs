using System.Text.RegularExpressions;

namespace Graft.Runtime;

/// <summary>The text of a kernel file and of the headers that it includes, as embedded in this assembly from src/Kernels/cu.</summary>
/// <param name="Family">The file's name without its ending.</param>
/// <param name="Text">The file.</param>
/// <param name="Headers">All that it includes, directly or not, by name.</param>
internal sealed partial record KernelSource(string Family, string Text, IReadOnlyList<(string Name, string Text)> Headers)
{
    private const string Folder = "cu/";

    /// <summary>All kernel files, in alphabetical order.</summary>
    public static IReadOnlyList<string> Families { get; } =
    [
        .. typeof(KernelSource).Assembly.GetManifestResourceNames()
            .Where(n => n.StartsWith(Folder, StringComparison.Ordinal) && n.EndsWith(".cu", StringComparison.Ordinal))
            .Select(n => n[Folder.Length..^".cu".Length])
            .Order(StringComparer.Ordinal),
    ];

    /// <summary>True where the file's line "Needs" names sm_90a: instructions that only this architecture has (wgmma, setmaxnreg).</summary>
    public bool NeedsSm90a => Sm90a().IsMatch(Text);

    /// <summary>The file of a family with its headers.</summary>
    public static KernelSource Read(string family)
    {
        string text = Resource(family + ".cu") ?? throw new GraftException($"There is no kernel file {family}.cu; there are {string.Join(", ", Families)}.");
        return Of(family, text);
    }

    /// <summary>A given text as a kernel file, with the embedded headers that it includes.</summary>
    public static KernelSource Of(string family, string text)
    {
        List<(string Name, string Text)> headers = [];
        Collect(text, headers);
        headers.Sort((a, b) => string.CompareOrdinal(a.Name, b.Name));
        return new(family, text, headers);
    }

    private static void Collect(string text, List<(string Name, string Text)> headers)
    {
        foreach (Match include in Include().Matches(text))
        {
            string name = include.Groups[1].Value;
            if (headers.Any(h => h.Name == name) || Resource(name) is not { } header)
            {
                continue; // a header that is not ours: the compiler says so, with the line
            }

            headers.Add((name, header));
            Collect(header, headers);
        }
    }

    private static string? Resource(string name)
    {
        using Stream? stream = typeof(KernelSource).Assembly.GetManifestResourceStream(Folder + name);
        if (stream is null)
        {
            return null;
        }

        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }

    [GeneratedRegex("""^\s*#\s*include\s*["<]([^">]+)[">]""", RegexOptions.Multiline)]
    private static partial Regex Include();

    [GeneratedRegex(@"^// Needs\b.*\bsm_90a\b", RegexOptions.Multiline)]
    private static partial Regex Sm90a();
}
