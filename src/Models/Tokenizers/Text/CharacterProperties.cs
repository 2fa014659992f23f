using System.Globalization;
using System.Text;

namespace Graft.Models.Tokenizers;

/// <summary>Properties of single code points as the reference implementations define them.</summary>
internal static class CharacterProperties
{
    private const int FirstNonAscii = 0x80;

    /// <summary>The category as a bit, so that classes are masks.</summary>
    public static uint CategoryBit(int codePoint) => 1u << (int)CharUnicodeInfo.GetUnicodeCategory(codePoint);

    /// <summary>The bits of some categories.</summary>
    public static uint Mask(params ReadOnlySpan<UnicodeCategory> categories)
    {
        uint mask = 0;
        foreach (UnicodeCategory category in categories)
        {
            mask |= 1u << (int)category;
        }

        return mask;
    }

    public static readonly uint Letters = Mask(
        UnicodeCategory.UppercaseLetter, UnicodeCategory.LowercaseLetter, UnicodeCategory.TitlecaseLetter, UnicodeCategory.ModifierLetter,
            UnicodeCategory.OtherLetter);

    public static readonly uint Marks = Mask(UnicodeCategory.NonSpacingMark, UnicodeCategory.SpacingCombiningMark, UnicodeCategory.EnclosingMark);

    public static readonly uint Numbers = Mask(UnicodeCategory.DecimalDigitNumber, UnicodeCategory.LetterNumber, UnicodeCategory.OtherNumber);

    public static readonly uint Punctuations = Mask(
        UnicodeCategory.ConnectorPunctuation, UnicodeCategory.DashPunctuation, UnicodeCategory.OpenPunctuation, UnicodeCategory.ClosePunctuation,
        UnicodeCategory.InitialQuotePunctuation, UnicodeCategory.FinalQuotePunctuation, UnicodeCategory.OtherPunctuation);

    public static readonly uint Symbols = Mask(
        UnicodeCategory.MathSymbol, UnicodeCategory.CurrencySymbol, UnicodeCategory.ModifierSymbol, UnicodeCategory.OtherSymbol);

    public static readonly uint Separators = Mask(UnicodeCategory.SpaceSeparator, UnicodeCategory.LineSeparator, UnicodeCategory.ParagraphSeparator);

    public static readonly uint Others = Mask(
        UnicodeCategory.Control, UnicodeCategory.Format, UnicodeCategory.Surrogate, UnicodeCategory.PrivateUse, UnicodeCategory.OtherNotAssigned);

    private static readonly uint s_word =
        Letters | Marks | Mask(UnicodeCategory.DecimalDigitNumber, UnicodeCategory.LetterNumber, UnicodeCategory.ConnectorPunctuation);

    /// <summary>White_Space of Unicode.</summary>
    public static bool IsWhiteSpace(int c)
    {
        if (c < FirstNonAscii)
        {
            return c == ' ' || (c >= 9 && c <= 13);
        }

        return c is 0x85 or 0xA0 or 0x1680 or (>= 0x2000 and <= 0x200A) or 0x2028 or 0x2029 or 0x202F or 0x205F or 0x3000;
    }

    /// <summary>\w: alphabetic, mark, decimal number or connector punctuation.</summary>
    public static bool IsWord(int c)
    {
        if (c < FirstNonAscii)
        {
            return char.IsAsciiLetterOrDigit((char)c) || c == '_';
        }

        // Letters in circles and squares are symbols by category and alphabetic all the same.
        return (CategoryBit(c) & s_word) != 0 || IsAlphabeticSymbol(c);
    }

    /// <summary>\w outside brackets, and what \b looks at: Oniguruma's table of Latin-1 has superscripts and fractions as well.</summary>
    public static bool IsPatternWord(int c) => IsWord(c) || c is 0xB2 or 0xB3 or 0xB9 or (>= 0xBC and <= 0xBE);

    /// <summary>\w where the joiners U+200C and U+200D count as well.</summary>
    public static bool IsWordOrJoiner(int c) => IsWord(c) || c is 0x200C or 0x200D;

    public static bool IsAlphabetic(int c)
    {
        if (c < FirstNonAscii)
        {
            return char.IsAsciiLetter((char)c);
        }

        uint bit = CategoryBit(c);
        return (bit & (Letters | (1u << (int)UnicodeCategory.LetterNumber))) != 0 || PropertyTable.Shared.AlphabeticMarks.Contains(c);
    }

    public static bool IsNumeric(int c) => c < FirstNonAscii ? char.IsAsciiDigit((char)c) : (CategoryBit(c) & Numbers) != 0;

    /// <summary>Punctuation of ASCII (with its symbols) or of Unicode 8, the version the reference's table has.</summary>
    public static bool IsPunctuation(int c)
    {
        if (c < FirstNonAscii)
        {
            return c is >= 0x21 and <= 0x2F or >= 0x3A and <= 0x40 or >= 0x5B and <= 0x60 or >= 0x7B and <= 0x7E;
        }

        return (CategoryBit(c) & Punctuations) != 0 && !PropertyTable.Shared.NewPunctuation.Contains(c);
    }

    /// <summary>A mark without width, of Unicode 8.</summary>
    public static bool IsNonSpacingMark(int c) =>
        c >= FirstNonAscii && CharUnicodeInfo.GetUnicodeCategory(c) == UnicodeCategory.NonSpacingMark && !PropertyTable.Shared.NewMarks.Contains(c);

    public static bool IsMark(int c) => c >= FirstNonAscii && (CategoryBit(c) & Marks) != 0;

    public static bool IsUppercase(int c) =>
        c < FirstNonAscii ? char.IsAsciiLetterUpper((char)c)
        : CharUnicodeInfo.GetUnicodeCategory(c) == UnicodeCategory.UppercaseLetter || PropertyTable.Shared.OtherUppercase.Contains(c);

    public static bool IsLowercase(int c) =>
        c < FirstNonAscii ? char.IsAsciiLetterLower((char)c)
        : CharUnicodeInfo.GetUnicodeCategory(c) == UnicodeCategory.LowercaseLetter || PropertyTable.Shared.OtherLowercase.Contains(c);

    /// <summary>The lower case of one code point; U+0130 alone becomes two, its second is U+0307.</summary>
    public static int ToLower(int c) => c == 0x130 ? 'i' : Simple(c, lower: true);

    /// <summary>The form under which letters that differ by case alone are equal.</summary>
    public static int Fold(int c) => c switch
    {
        < FirstNonAscii => char.IsAsciiLetterUpper((char)c) ? c | 0x20 : c,
        0x17F => 's',
        0x1E9E => 0xDF,
        0x130 or 0x131 => c,
        _ => Simple(Simple(c, lower: false), lower: true),
    };

    private static int Simple(int c, bool lower)
    {
        if (c is >= 0xD800 and <= 0xDFFF)
        {
            return c;
        }

        return lower ? Rune.ToLowerInvariant(new Rune(c)).Value : Rune.ToUpperInvariant(new Rune(c)).Value;
    }

    private static bool IsAlphabeticSymbol(int c) =>
        c is (>= 0x24B6 and <= 0x24E9) or (>= 0x1F130 and <= 0x1F149) or (>= 0x1F150 and <= 0x1F169) or (>= 0x1F170 and <= 0x1F189);
}
