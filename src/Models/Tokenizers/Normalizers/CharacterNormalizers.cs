using System.Globalization;

namespace Graft.Models.Tokenizers;

/// <summary>Builds the changes of normalizers that look at one code point at a time.</summary>
internal static class CharacterChanges
{
    /// <summary>Keeps some code points and drops the others, which the kept one before them swallows.</summary>
    public static void Filter(NormalizedText text, int origin, Func<int, bool> keep)
    {
        List<Change> changes = new(text.Text.Length);
        int skipped = 0;
        int removed = 0;
        bool any = false;
        for (int at = 0; at < text.Text.Length;)
        {
            int c = CodePoints.Next(text.Text, ref at);
            if (!keep(c))
            {
                removed++;
                any = true;
                continue;
            }

            Settle();
            changes.Add(new Change(c, 0));
        }

        if (any)
        {
            Settle();
            text.Apply(changes, skipped, origin);
        }

        void Settle()
        {
            if (changes.Count == 0)
            {
                skipped = removed;
            }
            else
            {
                changes[^1] = changes[^1] with { Difference = -removed };
            }

            removed = 0;
        }
    }

    /// <summary>Puts one code point in the place of each.</summary>
    public static void Map(NormalizedText text, int origin, Func<int, int> map)
    {
        List<Change> changes = new(text.Text.Length);
        bool any = false;
        for (int at = 0; at < text.Text.Length;)
        {
            int c = CodePoints.Next(text.Text, ref at);
            int mapped = map(c);
            any |= mapped != c;
            changes.Add(new Change(mapped, 0));
        }

        if (any)
        {
            text.Apply(changes, 0, origin);
        }
    }

    /// <summary>Lower case, code point by code point; U+0130 becomes two.</summary>
    public static void Lower(NormalizedText text, int origin)
    {
        List<Change> changes = new(text.Text.Length);
        for (int at = 0; at < text.Text.Length;)
        {
            int c = CodePoints.Next(text.Text, ref at);
            changes.Add(new Change(CharacterProperties.ToLower(c), 0));
            if (c == 0x130)
            {
                changes.Add(new Change(0x307, 1));
            }
        }

        text.Apply(changes, 0, origin);
    }
}

/// <summary>Lower case.</summary>
internal sealed class LowercaseNormalizer : Normalizer
{
    public override void Apply(NormalizedText text, int origin) => CharacterChanges.Lower(text, origin);
}

/// <summary>Drops white space at the ends.</summary>
internal sealed class StripNormalizer(bool left, bool right) : Normalizer
{
    public override void Apply(NormalizedText text, int origin)
    {
        string source = text.Text;
        int start = 0;
        int skipped = 0;
        for (int next = 0; left && next < source.Length; skipped++)
        {
            if (!CharacterProperties.IsWhiteSpace(CodePoints.Next(source, ref next)))
            {
                break;
            }

            start = next;
        }

        int end = source.Length;
        for (int before = end; right && before > start;)
        {
            if (!CharacterProperties.IsWhiteSpace(CodePoints.Previous(source, ref before)))
            {
                break;
            }

            end = before;
        }

        if (start == 0 && end == source.Length)
        {
            return;
        }

        List<Change> changes = new(end - start);
        for (int at = start; at < end;)
        {
            changes.Add(new Change(CodePoints.Next(source, ref at), 0));
        }

        text.Apply(changes, skipped, origin);
    }
}

/// <summary>Drops combining marks.</summary>
internal sealed class StripAccentsNormalizer : Normalizer
{
    public override void Apply(NormalizedText text, int origin) => CharacterChanges.Filter(text, origin, c => !CharacterProperties.IsMark(c));
}

/// <summary>The clean-up of neural machine translation: control characters go, unusual blanks become blanks.</summary>
internal sealed class NmtNormalizer : Normalizer
{
    public override void Apply(NormalizedText text, int origin)
    {
        CharacterChanges.Filter(text, origin, c => c is not ((>= 1 and <= 8) or 0xB or (>= 0xE and <= 0x1F) or 0x7F or 0x8F or 0x9F));
        CharacterChanges.Map(text, origin, c => c is 9 or 10 or 12 or 13 or 0x1680 or (>= 0x200B and <= 0x200F) or 0x2028 or 0x2029 or 0x2581
            or 0xFEFF or 0xFFFD ? ' ' : c);
    }
}

/// <summary>BERT's clean-up: control characters, blanks around ideographs, accents, lower case.</summary>
internal sealed class BertNormalizer(bool clean, bool ideographs, bool? accents, bool lowercase) : Normalizer
{
    private static readonly uint s_control = CharacterProperties.Mask(UnicodeCategory.Control, UnicodeCategory.Format, UnicodeCategory.PrivateUse);

    public override void Apply(NormalizedText text, int origin)
    {
        if (clean)
        {
            CharacterChanges.Filter(text, origin, c => c is not (0 or 0xFFFD) && (c is '\t' or '\n' or '\r'
                || (CharacterProperties.CategoryBit(c) & s_control) == 0));
            CharacterChanges.Map(text, origin, c => CharacterProperties.IsWhiteSpace(c) ? ' ' : c);
        }

        if (ideographs)
        {
            SetApart(text, origin);
        }

        if (accents ?? lowercase)
        {
            text.Apply(UnicodeNormalizer.Shared.Normalize(text.Text, compatible: false, compose: false), 0, origin);
            CharacterChanges.Filter(text, origin, c => !CharacterProperties.IsNonSpacingMark(c));
        }

        if (lowercase)
        {
            CharacterChanges.Lower(text, origin);
        }
    }

    private static void SetApart(NormalizedText text, int origin)
    {
        List<Change> changes = new(text.Text.Length);
        for (int at = 0; at < text.Text.Length;)
        {
            int c = CodePoints.Next(text.Text, ref at);
            if (IsIdeograph(c))
            {
                changes.Add(new Change(' ', 0));
                changes.Add(new Change(c, 1));
                changes.Add(new Change(' ', 1));
            }
            else
            {
                changes.Add(new Change(c, 0));
            }
        }

        text.Apply(changes, 0, origin);
    }

    // The blocks as the reference lists them, its slip at 2B920 (for 2B820) included.
    private static bool IsIdeograph(int c) =>
        c is (>= 0x4E00 and <= 0x9FFF) or (>= 0x3400 and <= 0x4DBF) or (>= 0x20000 and <= 0x2A6DF) or (>= 0x2A700 and <= 0x2B73F)
            or (>= 0x2B740 and <= 0x2B81F) or (>= 0x2B920 and <= 0x2CEAF) or (>= 0xF900 and <= 0xFAFF) or (>= 0x2F800 and <= 0x2FA1F);
}
