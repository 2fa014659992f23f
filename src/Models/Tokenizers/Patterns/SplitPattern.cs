using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>A part of a text that is, or is not, a match.</summary>
internal readonly record struct TextPart(int Start, int End, bool IsMatch);

/// <summary>The pattern of a Split or Replace: a text to be found as it stands, or a regular expression.</summary>
internal sealed class SplitPattern
{
    private readonly string? _literal;
    private readonly PatternProgram? _program;

    private SplitPattern(string? literal, PatternProgram? program)
    {
        _literal = literal;
        _program = program;
    }

    /// <summary>The pattern that GPT-2 cut words with, which ByteLevel uses.</summary>
    public static SplitPattern Gpt2 { get; } = OfRegex(@"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+");

    public static SplitPattern OfLiteral(string text) => text.Length == 0 ? OfRegex(text) : new SplitPattern(text, null);

    public static SplitPattern OfRegex(string pattern) => new(null, PatternProgram.Compile(pattern));

    /// <summary>Reads `{"String": ".."}`, `{"Regex": ".."}`.</summary>
    public static SplitPattern Read(TokenizerField field)
    {
        TokenizerField literal = field.Find("String");
        if (!literal.IsNull)
        {
            return OfLiteral(literal.Text());
        }

        TokenizerField regex = field.Find("Regex");
        if (!regex.IsNull)
        {
            string pattern = regex.Text();
            try
            {
                return OfRegex(pattern);
            }
            catch (CheckpointException e)
            {
                throw regex.Error(e.Message);
            }
        }

        throw field.Error("a pattern is an object with String or Regex");
    }

    /// <summary>Cuts the text into matches and what lies between, in order; an empty text is one part that is no match.</summary>
    public void FindParts(ReadOnlySpan<char> text, List<TextPart> parts)
    {
        if (text.IsEmpty)
        {
            parts.Add(new TextPart(0, 0, false));
            return;
        }

        int previous = _literal is null ? FindRegex(text, parts) : FindLiteral(text, parts);
        if (previous != text.Length)
        {
            parts.Add(new TextPart(previous, text.Length, false));
        }
    }

    private int FindLiteral(ReadOnlySpan<char> text, List<TextPart> parts)
    {
        int previous = 0;
        while (true)
        {
            int found = text[previous..].IndexOf(_literal.AsSpan(), StringComparison.Ordinal);
            if (found < 0)
            {
                return previous;
            }

            if (found > 0)
            {
                parts.Add(new TextPart(previous, previous + found, false));
            }

            previous += found;
            parts.Add(new TextPart(previous, previous + _literal!.Length, true));
            previous += _literal.Length;
        }
    }

    private int FindRegex(ReadOnlySpan<char> text, List<TextPart> parts)
    {
        PatternMatcher matcher = new(_program!, text);
        try
        {
            return Walk(ref matcher, text, parts);
        }
        finally
        {
            matcher.Dispose();
        }
    }

    private static int Walk(ref PatternMatcher matcher, ReadOnlySpan<char> text, List<TextPart> parts)
    {
        int previous = 0;
        int from = 0;
        int lastEnd = -1;
        while (from <= text.Length && matcher.Find(from, out int start, out int end))
        {
            // An empty match right behind the last match does not count.
            if (start == end && lastEnd == end)
            {
                if (from >= text.Length)
                {
                    break;
                }

                CodePoints.Next(text, ref from);
                continue;
            }

            if (previous != start)
            {
                parts.Add(new TextPart(previous, start, false));
            }

            parts.Add(new TextPart(start, end, true));
            previous = from = lastEnd = end;
        }

        return previous;
    }
}
