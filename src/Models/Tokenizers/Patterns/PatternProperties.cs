using System.Globalization;

namespace Graft.Models.Tokenizers;

/// <summary>Sets by name: \p{..} and [:..:].</summary>
internal static class PatternProperties
{
    private static readonly Dictionary<string, uint> s_categories = new(StringComparer.Ordinal)
    {
        ["l"] = CharacterProperties.Letters,
        ["letter"] = CharacterProperties.Letters,
        ["lu"] = Of(UnicodeCategory.UppercaseLetter),
        ["uppercaseletter"] = Of(UnicodeCategory.UppercaseLetter),
        ["ll"] = Of(UnicodeCategory.LowercaseLetter),
        ["lowercaseletter"] = Of(UnicodeCategory.LowercaseLetter),
        ["lt"] = Of(UnicodeCategory.TitlecaseLetter),
        ["titlecaseletter"] = Of(UnicodeCategory.TitlecaseLetter),
        ["lm"] = Of(UnicodeCategory.ModifierLetter),
        ["modifierletter"] = Of(UnicodeCategory.ModifierLetter),
        ["lo"] = Of(UnicodeCategory.OtherLetter),
        ["otherletter"] = Of(UnicodeCategory.OtherLetter),
        ["lc"] = Of(UnicodeCategory.UppercaseLetter, UnicodeCategory.LowercaseLetter, UnicodeCategory.TitlecaseLetter),
        ["casedletter"] = Of(UnicodeCategory.UppercaseLetter, UnicodeCategory.LowercaseLetter, UnicodeCategory.TitlecaseLetter),
        ["m"] = CharacterProperties.Marks,
        ["mark"] = CharacterProperties.Marks,
        ["combiningmark"] = CharacterProperties.Marks,
        ["mn"] = Of(UnicodeCategory.NonSpacingMark),
        ["nonspacingmark"] = Of(UnicodeCategory.NonSpacingMark),
        ["mc"] = Of(UnicodeCategory.SpacingCombiningMark),
        ["spacingmark"] = Of(UnicodeCategory.SpacingCombiningMark),
        ["me"] = Of(UnicodeCategory.EnclosingMark),
        ["enclosingmark"] = Of(UnicodeCategory.EnclosingMark),
        ["n"] = CharacterProperties.Numbers,
        ["number"] = CharacterProperties.Numbers,
        ["nd"] = Of(UnicodeCategory.DecimalDigitNumber),
        ["decimalnumber"] = Of(UnicodeCategory.DecimalDigitNumber),
        ["nl"] = Of(UnicodeCategory.LetterNumber),
        ["letternumber"] = Of(UnicodeCategory.LetterNumber),
        ["no"] = Of(UnicodeCategory.OtherNumber),
        ["othernumber"] = Of(UnicodeCategory.OtherNumber),
        ["p"] = CharacterProperties.Punctuations,
        ["punctuation"] = CharacterProperties.Punctuations,
        ["pc"] = Of(UnicodeCategory.ConnectorPunctuation),
        ["connectorpunctuation"] = Of(UnicodeCategory.ConnectorPunctuation),
        ["pd"] = Of(UnicodeCategory.DashPunctuation),
        ["dashpunctuation"] = Of(UnicodeCategory.DashPunctuation),
        ["ps"] = Of(UnicodeCategory.OpenPunctuation),
        ["openpunctuation"] = Of(UnicodeCategory.OpenPunctuation),
        ["pe"] = Of(UnicodeCategory.ClosePunctuation),
        ["closepunctuation"] = Of(UnicodeCategory.ClosePunctuation),
        ["pi"] = Of(UnicodeCategory.InitialQuotePunctuation),
        ["initialpunctuation"] = Of(UnicodeCategory.InitialQuotePunctuation),
        ["pf"] = Of(UnicodeCategory.FinalQuotePunctuation),
        ["finalpunctuation"] = Of(UnicodeCategory.FinalQuotePunctuation),
        ["po"] = Of(UnicodeCategory.OtherPunctuation),
        ["otherpunctuation"] = Of(UnicodeCategory.OtherPunctuation),
        ["s"] = CharacterProperties.Symbols,
        ["symbol"] = CharacterProperties.Symbols,
        ["sm"] = Of(UnicodeCategory.MathSymbol),
        ["mathsymbol"] = Of(UnicodeCategory.MathSymbol),
        ["sc"] = Of(UnicodeCategory.CurrencySymbol),
        ["currencysymbol"] = Of(UnicodeCategory.CurrencySymbol),
        ["sk"] = Of(UnicodeCategory.ModifierSymbol),
        ["modifiersymbol"] = Of(UnicodeCategory.ModifierSymbol),
        ["so"] = Of(UnicodeCategory.OtherSymbol),
        ["othersymbol"] = Of(UnicodeCategory.OtherSymbol),
        ["z"] = CharacterProperties.Separators,
        ["separator"] = CharacterProperties.Separators,
        ["zs"] = Of(UnicodeCategory.SpaceSeparator),
        ["spaceseparator"] = Of(UnicodeCategory.SpaceSeparator),
        ["zl"] = Of(UnicodeCategory.LineSeparator),
        ["lineseparator"] = Of(UnicodeCategory.LineSeparator),
        ["zp"] = Of(UnicodeCategory.ParagraphSeparator),
        ["paragraphseparator"] = Of(UnicodeCategory.ParagraphSeparator),
        ["c"] = CharacterProperties.Others,
        ["other"] = CharacterProperties.Others,
        ["cc"] = Of(UnicodeCategory.Control),
        ["control"] = Of(UnicodeCategory.Control),
        ["cf"] = Of(UnicodeCategory.Format),
        ["format"] = Of(UnicodeCategory.Format),
        ["cn"] = Of(UnicodeCategory.OtherNotAssigned),
        ["unassigned"] = Of(UnicodeCategory.OtherNotAssigned),
        ["co"] = Of(UnicodeCategory.PrivateUse),
        ["privateuse"] = Of(UnicodeCategory.PrivateUse),
        ["cs"] = Of(UnicodeCategory.Surrogate),
        ["surrogate"] = Of(UnicodeCategory.Surrogate),
    };

    // Short names of the scripts that patterns in use name by them.
    private static readonly Dictionary<string, string> s_shortScripts = new(StringComparer.Ordinal)
    {
        ["hani"] = "Han",
        ["hira"] = "Hiragana",
        ["kana"] = "Katakana",
        ["hang"] = "Hangul",
        ["latn"] = "Latin",
        ["cyrl"] = "Cyrillic",
        ["grek"] = "Greek",
        ["arab"] = "Arabic",
        ["hebr"] = "Hebrew",
        ["deva"] = "Devanagari",
        ["thai"] = "Thai",
        ["zyyy"] = "Common",
        ["zinh"] = "Inherited",
    };

    /// <summary>The set of \p{name}, null if the name is not known.</summary>
    public static CharacterSet? Find(string name, bool negated)
    {
        string key = PropertyTable.PropertyName(name);
        if (s_categories.TryGetValue(key, out uint mask))
        {
            return CharacterSet.OfCategories(mask, negated);
        }

        if (s_shortScripts.TryGetValue(key, out string? script) || PropertyTable.Shared.ScriptNames.TryGetValue(key, out script))
        {
            return CharacterSet.Of(c => PropertyTable.Shared.ScriptOf(c) == script, negated);
        }

        return key switch
        {
            "any" => CharacterSet.Of(_ => true, negated),
            "assigned" => CharacterSet.OfCategories(Of(UnicodeCategory.OtherNotAssigned), !negated),
            "alphabetic" => CharacterSet.Of(CharacterProperties.IsAlphabetic, negated),
            "uppercase" => CharacterSet.Of(CharacterProperties.IsUppercase, negated),
            "lowercase" => CharacterSet.Of(CharacterProperties.IsLowercase, negated),
            "whitespace" => CharacterSet.Of(CharacterProperties.IsWhiteSpace, negated),
            _ => Posix(key, negated),
        };
    }

    /// <summary>The set of [:name:], null if the name is not known.</summary>
    public static CharacterSet? Posix(string name, bool negated)
    {
        uint invisible = CharacterProperties.Mask(UnicodeCategory.Control, UnicodeCategory.OtherNotAssigned, UnicodeCategory.Surrogate);
        return name switch
        {
            "alpha" => CharacterSet.Of(CharacterProperties.IsAlphabetic, negated),
            "digit" => CharacterSet.OfCategories(Of(UnicodeCategory.DecimalDigitNumber), negated),
            "alnum" => CharacterSet.Of(c => CharacterProperties.IsAlphabetic(c)
                || (CharacterProperties.CategoryBit(c) & Of(UnicodeCategory.DecimalDigitNumber)) != 0, negated),
            "upper" => CharacterSet.Of(CharacterProperties.IsUppercase, negated),
            "lower" => CharacterSet.Of(CharacterProperties.IsLowercase, negated),
            "space" => CharacterSet.Of(CharacterProperties.IsWhiteSpace, negated),
            "blank" => CharacterSet.Of(c => c == '\t' || (CharacterProperties.CategoryBit(c) & Of(UnicodeCategory.SpaceSeparator)) != 0, negated),
            "cntrl" => CharacterSet.OfCategories(Of(UnicodeCategory.Control), negated),
            "punct" => CharacterSet.OfCategories(CharacterProperties.Punctuations | CharacterProperties.Symbols, negated),
            "graph" => CharacterSet.Of(c => !CharacterProperties.IsWhiteSpace(c) && (CharacterProperties.CategoryBit(c) & invisible) == 0, negated),
            "print" => CharacterSet.Of(
                c => (CharacterProperties.CategoryBit(c) & (invisible | CharacterProperties.Mask(UnicodeCategory.LineSeparator,
                    UnicodeCategory.ParagraphSeparator))) == 0, negated),
            "xdigit" => CharacterSet.Of(c => c < 128 && char.IsAsciiHexDigit((char)c), negated),
            "word" => CharacterSet.Of(CharacterProperties.IsWord, negated),
            "ascii" => CharacterSet.Of(c => c < 128, negated),
            _ => null,
        };
    }

    private static uint Of(params ReadOnlySpan<UnicodeCategory> categories) => CharacterProperties.Mask(categories);
}
