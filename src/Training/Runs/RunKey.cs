using System.Globalization;

namespace Graft.Training.Runs;

/// <summary>What the value of a run-file key is.</summary>
public enum RunKeyKind
{
    /// <summary>A text.</summary>
    Text,

    /// <summary>One of a few words.</summary>
    Choice,

    /// <summary>A whole number.</summary>
    Integer,

    /// <summary>A number.</summary>
    Number,

    /// <summary>true or false.</summary>
    Boolean,

    /// <summary>A list of numbers.</summary>
    Numbers,

    /// <summary>A text or a list of texts.</summary>
    Texts,

    /// <summary>A file that must exist.</summary>
    File,

    /// <summary>A file or folder that must exist.</summary>
    FileOrFolder,

    /// <summary>A folder that is made when it does not exist.</summary>
    NewFolder,

    /// <summary>A map whose keys belong to the method that reads it.</summary>
    Options,
}

/// <summary>One key of the run file: the row from which reading, errors, suggestions and docs/run-file.md are made.</summary>
/// <param name="Path">Sections and key, joined by dots.</param>
/// <param name="Kind">What the value is.</param>
/// <param name="Default">The value where none is given, as it would stand in the file; null for none.</param>
/// <param name="Description">One line for users.</param>
public sealed record RunKey(string Path, RunKeyKind Kind, string? Default, string Description)
{
    /// <summary>A value must be given (in a section that is given).</summary>
    public bool IsRequired { get; init; }

    /// <summary>The smallest number allowed.</summary>
    public double Min { get; init; } = double.NegativeInfinity;

    /// <summary>The largest number allowed.</summary>
    public double Max { get; init; } = double.PositiveInfinity;

    /// <summary><see cref="Min"/> itself is not allowed.</summary>
    public bool AboveMin { get; init; }

    /// <summary><see cref="Max"/> itself is not allowed.</summary>
    public bool BelowMax { get; init; }

    /// <summary>How many numbers a list must have; 0 for any.</summary>
    public int ListLength { get; init; }

    /// <summary>The words of a choice.</summary>
    public IReadOnlyList<string> Choices { get; init; } = [];

    /// <summary>What people used to other tools write instead.</summary>
    public IReadOnlyList<string> OtherNames { get; init; } = [];

    /// <summary>The key without its sections.</summary>
    public string Name => Path[(Path.LastIndexOf('.') + 1)..];

    /// <summary>The first part of the path.</summary>
    public string Section => Path[..Path.IndexOf('.', StringComparison.Ordinal)];

    /// <summary>The value is a place in the file system, where variables are replaced.</summary>
    public bool IsPath => Kind is RunKeyKind.File or RunKeyKind.FileOrFolder or RunKeyKind.NewFolder;

    /// <summary>The value of an override is taken as it stands, without YAML around it.</summary>
    internal bool IsPlainText => IsPath || Kind is RunKeyKind.Text or RunKeyKind.Choice;

    /// <summary>What may be given, in words.</summary>
    public string Allowed => Kind switch
    {
        RunKeyKind.Text => "a text",
        RunKeyKind.Choice => string.Join(", ", Choices),
        RunKeyKind.Integer => "a whole number" + Range,
        RunKeyKind.Number => "a number" + Range,
        RunKeyKind.Boolean => "true or false",
        RunKeyKind.Numbers => (ListLength > 0 ? $"a list of {ListLength} numbers" : "a list of numbers") + (Range.Length > 0 ? ", each" + Range : string.Empty),
        RunKeyKind.Texts => "a text or a list of texts",
        RunKeyKind.File => "a file that exists",
        RunKeyKind.FileOrFolder => "a file or folder that exists",
        RunKeyKind.NewFolder => "a folder, made if missing",
        _ => "a map of options",
    };

    private string Range
    {
        get
        {
            string low = double.IsFinite(Min) ? $" {(AboveMin ? "above" : "from")} {Min.ToString(CultureInfo.InvariantCulture)}" : string.Empty;
            string high = double.IsFinite(Max) ? $" {(BelowMax ? "below" : "to")} {Max.ToString(CultureInfo.InvariantCulture)}" : string.Empty;
            return low + (low.Length > 0 && high.Length > 0 && (BelowMax || AboveMin) ? " and" : string.Empty) + high;
        }
    }
}
