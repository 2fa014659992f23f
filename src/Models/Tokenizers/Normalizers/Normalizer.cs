namespace Graft.Models.Tokenizers;

/// <summary>Changes a text before it is cut.</summary>
internal abstract class Normalizer
{
    /// <summary>Changes the text in place. <paramref name="origin"/>: where in the original it begins.</summary>
    public abstract void Apply(NormalizedText text, int origin);

    /// <summary>Reads a normalizer; a type that is not known is refused by name.</summary>
    public static Normalizer Read(TokenizerField field)
    {
        string type = field.TypeName();
        switch (type)
        {
            case "Sequence":
                return new NormalizerSequence([.. field.Get("normalizers").Items().Select(Read)]);
            case "NFC" or "NFD" or "NFKC" or "NFKD":
                return new UnicodeForm(type is "NFKC" or "NFKD", type is "NFC" or "NFKC");
            case "Lowercase":
                return new LowercaseNormalizer();
            case "Strip":
                return new StripNormalizer(field.Get("strip_left").Boolean(), field.Get("strip_right").Boolean());
            case "StripAccents":
                return new StripAccentsNormalizer();
            case "Nmt":
                return new NmtNormalizer();
            case "BertNormalizer":
                TokenizerField accents = field.Find("strip_accents");
                return new BertNormalizer(
                    field.Get("clean_text").Boolean(),
                    field.Get("handle_chinese_chars").Boolean(),
                    accents.IsNull ? null : accents.Boolean(),
                    field.Get("lowercase").Boolean());
            case "Prepend":
                return new PrependNormalizer(field.Get("prepend").Text());
            case "Replace":
                return new ReplaceNormalizer(SplitPattern.Read(field.Get("pattern")), field.Get("content").Text());
            case "Precompiled":
                return PrecompiledNormalizer.FromField(field);
            case "ByteLevel":
                return new ByteLevelNormalizer();
            default:
                throw field.Find("type").Error($"the normalizer '{type}' is not known");
        }
    }
}

/// <summary>Several normalizers, one after the other.</summary>
internal sealed class NormalizerSequence(IReadOnlyList<Normalizer> parts) : Normalizer
{
    public override void Apply(NormalizedText text, int origin)
    {
        foreach (Normalizer part in parts)
        {
            part.Apply(text, origin);
        }
    }
}

/// <summary>NFC, NFD, NFKC, NFKD.</summary>
internal sealed class UnicodeForm(bool compatible, bool compose) : Normalizer
{
    public override void Apply(NormalizedText text, int origin)
    {
        // Below U+00A0 nothing changes in any form; below U+0300 nothing composes that is not composed.
        char limit = compatible || !compose ? '\u00A0' : '\u0300';
        if (text.Text.AsSpan().IndexOfAnyExceptInRange('\0', (char)(limit - 1)) < 0)
        {
            return;
        }

        text.Apply(UnicodeNormalizer.Shared.Normalize(text.Text, compatible, compose), 0, origin);
    }
}

/// <summary>Puts a text in front of everything that is not empty.</summary>
internal sealed class PrependNormalizer(string prefix) : Normalizer
{
    public override void Apply(NormalizedText text, int origin) => text.Prepend(prefix);
}

/// <summary>Replaces what a pattern finds.</summary>
internal sealed class ReplaceNormalizer(SplitPattern pattern, string content) : Normalizer
{
    public override void Apply(NormalizedText text, int origin) => text.Replace(pattern, content, origin);
}

/// <summary>Every byte of UTF-8 becomes a character of its own.</summary>
internal sealed class ByteLevelNormalizer : Normalizer
{
    public override void Apply(NormalizedText text, int origin) => ByteAlphabet.Apply(text, origin);
}
