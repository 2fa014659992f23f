using System.Globalization;
using System.Reflection;

namespace Graft.Models.Tokenizers;

/// <summary>Sorted ranges of code points.</summary>
internal sealed class CodePointRanges
{
    private readonly List<int> _first = [];
    private readonly List<int> _last = [];

    /// <summary>Adds a range after all others.</summary>
    public void Add(int first, int last)
    {
        _first.Add(first);
        _last.Add(last);
    }

    public bool Contains(int codePoint) => Find(codePoint) >= 0;

    /// <summary>The index of the range that holds the code point, -1 if none.</summary>
    public int Find(int codePoint)
    {
        int at = _first.BinarySearch(codePoint);
        at = at >= 0 ? at : ~at - 1;
        return at >= 0 && _last[at] >= codePoint ? at : -1;
    }
}

/// <summary>The few properties of Unicode that .NET does not tell: scripts and exceptions to what follows from categories.</summary>
internal sealed class PropertyTable
{
    private static readonly Lazy<PropertyTable> s_shared = new(() => new PropertyTable());

    private readonly CodePointRanges _scripts = new();
    private readonly List<string> _scriptOfRange = [];

    private PropertyTable()
    {
        foreach (string[] field in Lines("properties.txt"))
        {
            int first = Hex(field[1]);
            int last = Hex(field[2]);
            switch (field[0])
            {
                case "S":
                    _scripts.Add(first, last);
                    _scriptOfRange.Add(string.Intern(field[3]));
                    ScriptNames.TryAdd(PropertyName(field[3]), field[3]);
                    break;
                case "A":
                    AlphabeticMarks.Add(first, last);
                    break;
                case "U":
                    OtherUppercase.Add(first, last);
                    break;
                case "L":
                    OtherLowercase.Add(first, last);
                    break;
                case "P":
                    NewPunctuation.Add(first, last);
                    break;
                default:
                    NewMarks.Add(first, last);
                    break;
            }
        }
    }

    public static PropertyTable Shared => s_shared.Value;

    /// <summary>Alphabetic, though neither letters nor letter numbers.</summary>
    public CodePointRanges AlphabeticMarks { get; } = new();

    public CodePointRanges OtherUppercase { get; } = new();

    public CodePointRanges OtherLowercase { get; } = new();

    /// <summary>Punctuation that Unicode 8 did not have.</summary>
    public CodePointRanges NewPunctuation { get; } = new();

    /// <summary>Marks without width that Unicode 8 did not have.</summary>
    public CodePointRanges NewMarks { get; } = new();

    /// <summary>Scripts by their names as patterns may write them.</summary>
    public Dictionary<string, string> ScriptNames { get; } = new(StringComparer.Ordinal);

    /// <summary>The script of a code point, "Unknown" if it has none.</summary>
    public string ScriptOf(int codePoint)
    {
        int at = _scripts.Find(codePoint);
        return at < 0 ? "Unknown" : _scriptOfRange[at];
    }

    /// <summary>A property's name without what patterns may vary: case, blanks, '_' and '-'.</summary>
    public static string PropertyName(string name) =>
        string.Concat(name.Where(c => c is not (' ' or '_' or '-'))).ToLowerInvariant();

    /// <summary>The fields of the lines of an embedded table.</summary>
    public static IEnumerable<string[]> Lines(string file)
    {
        Assembly assembly = typeof(PropertyTable).Assembly;
        using Stream stream = assembly.GetManifestResourceStream("Graft.Models.Tokenizers." + file)
            ?? throw new InvalidOperationException($"the table {file} is not in the assembly");
        using StreamReader reader = new(stream);
        while (reader.ReadLine() is { } line)
        {
            if (line.Length > 0 && line[0] != '#')
            {
                yield return line.Split(' ');
            }
        }
    }

    public static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
