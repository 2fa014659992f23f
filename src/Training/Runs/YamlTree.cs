using Graft.Runtime;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Graft.Training.Runs;

/// <summary>A value of a YAML text with its place.</summary>
/// <param name="Where">File and line, or the override that it came from.</param>
internal abstract record YamlValue(string Where);

/// <summary>A single value; null text for an empty one.</summary>
internal sealed record YamlScalar(string? Text, bool IsQuoted, string Where) : YamlValue(Where);

/// <summary>A list.</summary>
internal sealed record YamlList(IReadOnlyList<YamlValue> Items, string Where) : YamlValue(Where);

/// <summary>A map with text keys in the order of the text.</summary>
internal sealed record YamlMap(Dictionary<string, YamlValue> Entries, string Where) : YamlValue(Where);

/// <summary>Reads YAML from the parser's events: no anchors, aliases, tags or second documents, and bounded depth and size, so that a small file cannot become
/// a large tree.</summary>
internal sealed class YamlTree
{
    private const int MaxLength = 1 << 20;
    private const int MaxDepth = 16;

    private readonly Parser _parser;
    private readonly Func<long, string> _where;

    private YamlTree(string text, Func<long, string> where)
    {
        _parser = new Parser(new StringReader(text));
        _where = where;
    }

    /// <summary>The value of a text; an empty text is an empty scalar.</summary>
    /// <param name="text">The YAML.</param>
    /// <param name="where">What to call a line, counted from 1.</param>
    /// <exception cref="ConfigurationException">The text is no YAML that we take: names the line.</exception>
    public static YamlValue Parse(string text, Func<long, string> where)
    {
        if (text.Length > MaxLength)
        {
            throw new ConfigurationException($"{where(1)}: {text.Length} characters are too many for a run file; at most {MaxLength} are read.");
        }

        var tree = new YamlTree(text, where);
        try
        {
            return tree.Document();
        }
        catch (YamlException e)
        {
            throw new ConfigurationException($"{where(BadLine(text, e))}: not valid YAML: {e.Message}", e);
        }
    }

    /// <summary>The parser names where the map began; a tab in the indentation, the usual mistake, stands further down.</summary>
    private static long BadLine(string text, YamlException e)
    {
        string[] lines = text.Split('\n');
        int tab = Array.FindIndex(lines, l => l[..^l.TrimStart().Length].Contains('\t', StringComparison.Ordinal));
        return e.Message.Contains("tab", StringComparison.Ordinal) && tab >= e.Start.Line ? tab + 1 : e.Start.Line;
    }

    private YamlValue Document()
    {
        _parser.Consume<StreamStart>();
        if (_parser.Accept<StreamEnd>(out _))
        {
            return new YamlScalar(null, false, _where(1));
        }

        _parser.Consume<DocumentStart>();
        YamlValue value = Value(0);
        _parser.Consume<DocumentEnd>();
        if (!_parser.Accept<StreamEnd>(out _))
        {
            throw Refused(_parser.Current!, "a second document (---)");
        }

        return value;
    }

    private YamlValue Value(int depth)
    {
        ParsingEvent next = _parser.Consume<ParsingEvent>();
        string where = _where(next.Start.Line);
        if (depth > MaxDepth)
        {
            throw Refused(next, $"nesting deeper than {MaxDepth}");
        }

        if (next is AnchorAlias)
        {
            throw Refused(next, "an alias (*)");
        }

        if (next is NodeEvent { Anchor.IsEmpty: false })
        {
            throw Refused(next, "an anchor (&)");
        }

        if (next is NodeEvent { Tag.IsEmpty: false })
        {
            throw Refused(next, "a tag (!)");
        }

        switch (next)
        {
            case Scalar scalar:
                bool quoted = scalar.Style != ScalarStyle.Plain;
                return new YamlScalar(!quoted && scalar.Value is "" or "~" or "null" ? null : scalar.Value, quoted, where);
            case SequenceStart:
                List<YamlValue> items = [];
                while (!_parser.TryConsume<SequenceEnd>(out _))
                {
                    items.Add(Value(depth + 1));
                }

                return new YamlList(items, where);
            case MappingStart:
                return new YamlMap(Entries(depth), where);
            default:
                throw Refused(next, next.GetType().Name);
        }
    }

    private Dictionary<string, YamlValue> Entries(int depth)
    {
        Dictionary<string, YamlValue> entries = [];
        while (!_parser.TryConsume<MappingEnd>(out _))
        {
            if (Value(depth + 1) is not YamlScalar { Text: { } key } name)
            {
                throw new ConfigurationException($"{_where(_parser.Current!.Start.Line)}: a key must be a single word.");
            }

            if (!entries.TryAdd(key, Value(depth + 1)))
            {
                throw new ConfigurationException($"{name.Where}: the key '{key}' occurs twice.");
            }
        }

        return entries;
    }

    private ConfigurationException Refused(ParsingEvent at, string what)
    {
        return new ConfigurationException($"{_where(at.Start.Line)}: {what} is not taken in a run file; write the value out.");
    }
}
