namespace Graft.Models.Tokenizers;

/// <summary>A range of a text: from <paramref name="Start"/> on, up to but without <paramref name="End"/>.</summary>
public readonly record struct TextOffset(int Start, int End);

/// <summary>The tokens of one text, or of a pair. All arrays have one entry per token.</summary>
public sealed class Encoding
{
    private readonly TextOffset[] _codePoints;
    private readonly IReadOnlyList<string> _texts;
    private readonly int[] _sources;
    private TextOffset[]? _units;

    internal Encoding(EncodingPart part, IReadOnlyList<string> texts)
    {
        Ids = [.. part.Ids];
        Tokens = [.. part.Tokens];
        TypeIds = [.. part.TypeIds];
        SpecialTokensMask = [.. part.Special];
        SequenceIds = [.. part.Sequences.Select(s => s < 0 ? (int?)null : s)];
        AttentionMask = new int[part.Count];
        Array.Fill(AttentionMask, 1);
        _codePoints = [.. part.Starts.Zip(part.Ends, (s, e) => new TextOffset(s, e))];
        _sources = [.. part.Sources];
        _texts = texts;
    }

    /// <summary>The ids that the model takes.</summary>
    public int[] Ids { get; }

    /// <summary>The tokens as the vocabulary spells them; of unknown text some models give the text itself.</summary>
    public string[] Tokens { get; }

    /// <summary>The type of each token, for models that tell the sequences of a pair apart.</summary>
    public int[] TypeIds { get; }

    /// <summary>True for tokens that the post-processor added, not for those written in the text.</summary>
    public bool[] SpecialTokensMask { get; }

    /// <summary>1 throughout: nothing is padded here.</summary>
    public int[] AttentionMask { get; }

    /// <summary>0 for tokens of the text, 1 for those of its pair, null for tokens that the post-processor added.</summary>
    public int?[] SequenceIds { get; }

    /// <summary>Number of tokens.</summary>
    public int Count => Ids.Length;

    /// <summary>The range of each token in its own text, in UTF-16 units of the .NET string. Tokens that are parts of one character all have its
    /// range; added tokens have 0, 0.</summary>
    public TextOffset[] Offsets => _units ??= ToUnits();

    /// <summary>The same ranges in Unicode code points, as Python counts them.</summary>
    public TextOffset[] OffsetsInCodePoints => _codePoints;

    private TextOffset[] ToUnits()
    {
        int[]?[] maps = [.. _texts.Select(UnitsOf)];
        TextOffset[] units = new TextOffset[_codePoints.Length];
        for (int i = 0; i < units.Length; i++)
        {
            TextOffset range = _codePoints[i];
            int[]? map = _sources[i] < 0 ? null : maps[_sources[i]];
            units[i] = map is null ? range : new TextOffset(map[Math.Min(range.Start, map.Length - 1)], map[Math.Min(range.End, map.Length - 1)]);
        }

        return units;
    }

    /// <summary>Where each code point begins, and the end; null if code points are units.</summary>
    private static int[]? UnitsOf(string text)
    {
        int count = CodePoints.Count(text);
        if (count == text.Length)
        {
            return null;
        }

        int[] map = new int[count + 1];
        int at = 0;
        for (int i = 0; i < count; i++)
        {
            map[i] = at;
            CodePoints.Next(text, ref at);
        }

        map[count] = at;
        return map;
    }
}
