using System.Text;

namespace Graft.Models.Tokenizers;

/// <summary>Walks over UTF-16 text by code points. A surrogate that stands alone is taken as one code point.</summary>
internal static class CodePoints
{
    /// <summary>The code point at <paramref name="at"/>, which moves behind it.</summary>
    public static int Next(ReadOnlySpan<char> text, ref int at)
    {
        char c = text[at++];
        if (char.IsHighSurrogate(c) && at < text.Length && char.IsLowSurrogate(text[at]))
        {
            return char.ConvertToUtf32(c, text[at++]);
        }

        return c;
    }

    /// <summary>The code point before <paramref name="at"/>, which moves in front of it.</summary>
    public static int Previous(ReadOnlySpan<char> text, ref int at)
    {
        char c = text[--at];
        if (char.IsLowSurrogate(c) && at > 0 && char.IsHighSurrogate(text[at - 1]))
        {
            return char.ConvertToUtf32(text[--at], c);
        }

        return c;
    }

    /// <summary>How many code points the text has.</summary>
    public static int Count(ReadOnlySpan<char> text)
    {
        int count = 0;
        for (int at = 0; at < text.Length; count++)
        {
            Next(text, ref at);
        }

        return count;
    }

    /// <summary>How many bytes the code point has in UTF-8.</summary>
    public static int Utf8Length(int codePoint) => codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;

    /// <summary>Appends a code point.</summary>
    public static void Append(StringBuilder builder, int codePoint)
    {
        if (codePoint < 0x10000)
        {
            builder.Append((char)codePoint);
        }
        else
        {
            builder.Append((char)(0xD7C0 + (codePoint >> 10))).Append((char)(0xDC00 | (codePoint & 0x3FF)));
        }
    }

    /// <summary>The text with U+FFFD in place of surrogates that stand alone; lengths stay.</summary>
    public static string Repair(string text)
    {
        int at = 0;
        while (at < text.Length && !char.IsSurrogate(text[at]))
        {
            at++;
        }

        if (at == text.Length)
        {
            return text;
        }

        char[] repaired = text.ToCharArray();
        while (at < repaired.Length)
        {
            if (char.IsHighSurrogate(repaired[at]) && at + 1 < repaired.Length && char.IsLowSurrogate(repaired[at + 1]))
            {
                at += 2;
                continue;
            }

            if (char.IsSurrogate(repaired[at]))
            {
                repaired[at] = '\uFFFD';
            }

            at++;
        }

        return new string(repaired);
    }
}
