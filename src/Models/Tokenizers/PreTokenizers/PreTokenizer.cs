namespace Graft.Models.Tokenizers;

/// <summary>Cuts a text into the pieces that the model sees one by one.</summary>
internal abstract class PreTokenizer
{
    /// <summary>Cuts, or changes, every piece that is no added token.</summary>
    public abstract void Apply(PreTokenizedText text);

    /// <summary>True: it asks where pieces lie in the original, so alignments must be kept even if nobody wants offsets.</summary>
    public virtual bool NeedsAlignment => false;

    /// <summary>True: its last step is byte-level, so the mapping of bytes may be left to the model.</summary>
    public virtual bool EndsInBytes => false;

    /// <summary>Reads a pre-tokenizer; a type that is not known is refused by name.</summary>
    public static PreTokenizer Read(TokenizerField field)
    {
        string type = field.TypeName();
        switch (type)
        {
            case "Sequence":
                return new PreTokenizerSequence([.. field.Get("pretokenizers").Items().Select(Read)]);
            case "ByteLevel":
                return new ByteLevelPreTokenizer(field.Get("add_prefix_space").Boolean(), field.Find("use_regex").Boolean(true));
            case "Split":
                return new SplitPreTokenizer(SplitPattern.Read(field.Get("pattern")), field.Get("invert").Boolean(),
                    SplitBehaviors.Read(field.Get("behavior")));
            case "Digits":
                return new CharacterPreTokenizer(CharacterProperties.IsNumeric, field.Get("individual_digits").Boolean() ? SplitBehavior.Isolated
                    : SplitBehavior.Contiguous);
            case "Punctuation":
                TokenizerField behavior = field.Find("behavior");
                return new CharacterPreTokenizer(CharacterProperties.IsPunctuation, behavior.IsNull ? SplitBehavior.Isolated : SplitBehaviors.Read(behavior));
            case "Whitespace":
                return new WhitespacePreTokenizer();
            case "WhitespaceSplit":
                return new CharacterPreTokenizer(CharacterProperties.IsWhiteSpace, SplitBehavior.Removed);
            case "BertPreTokenizer":
                return new PreTokenizerSequence(
                [
                    new CharacterPreTokenizer(CharacterProperties.IsWhiteSpace, SplitBehavior.Removed),
                    new CharacterPreTokenizer(CharacterProperties.IsPunctuation, SplitBehavior.Isolated),
                ]);
            case "CharDelimiterSplit":
                string delimiter = field.Get("delimiter").Character();
                int wanted = char.ConvertToUtf32(delimiter, 0);
                return new CharacterPreTokenizer(c => c == wanted, SplitBehavior.Removed);
            case "Metaspace":
                return new MetaspacePreTokenizer(MetaspaceOptions.Read(field));
            case "UnicodeScripts":
                return new ScriptPreTokenizer();
            case "FixedLength":
                TokenizerField length = field.Find("length");
                int count = length.IsNull ? 5 : length.Integer();
                return count > 0 ? new FixedLengthPreTokenizer(count) : throw length.Error("the length must be above 0");
            default:
                throw field.Find("type").Error($"the pre-tokenizer '{type}' is not known");
        }
    }
}

/// <summary>Several pre-tokenizers, one after the other.</summary>
internal sealed class PreTokenizerSequence(IReadOnlyList<PreTokenizer> parts) : PreTokenizer
{
    public override bool NeedsAlignment => parts.Any(p => p.NeedsAlignment);

    public override bool EndsInBytes => parts.Count > 0 && parts[^1].EndsInBytes && !parts.Take(parts.Count - 1).Any(p => p.EndsInBytes);

    public override void Apply(PreTokenizedText text)
    {
        foreach (PreTokenizer part in parts)
        {
            part.Apply(text);
        }
    }
}

/// <summary>Cuts by a pattern.</summary>
internal sealed class SplitPreTokenizer(SplitPattern pattern, bool invert, SplitBehavior behavior) : PreTokenizer
{
    public override void Apply(PreTokenizedText text) => text.Split(pattern, invert, behavior);
}

/// <summary>Cuts at code points of a kind.</summary>
internal sealed class CharacterPreTokenizer(Func<int, bool> predicate, SplitBehavior behavior) : PreTokenizer
{
    public override void Apply(PreTokenizedText text) => text.Split(predicate, behavior);
}

/// <summary>Runs of word characters and runs of others that are no white space.</summary>
internal sealed class WhitespacePreTokenizer : PreTokenizer
{
    public override void Apply(PreTokenizedText text) => text.Split(static (piece, into) =>
    {
        ReadOnlySpan<char> span = piece.Span;
        int start = 0;
        int kind = 0;
        for (int at = 0; at < span.Length;)
        {
            int before = at;
            int c = CodePoints.Next(span, ref at);
            int next = CharacterProperties.IsWordOrJoiner(c) ? 1 : CharacterProperties.IsWhiteSpace(c) ? 0 : 2;
            if (next != kind)
            {
                if (kind != 0)
                {
                    into.Add(piece.Slice(start, before));
                }

                (start, kind) = (before, next);
            }
        }

        if (kind != 0)
        {
            into.Add(piece.Slice(start, span.Length));
        }
    });
}

/// <summary>GPT-2's: perhaps a blank in front, words by its pattern, then bytes as characters.</summary>
internal sealed class ByteLevelPreTokenizer(bool prefix, bool words) : PreTokenizer
{
    public override bool EndsInBytes => true;

    public override void Apply(PreTokenizedText text)
    {
        if (prefix || words)
        {
            text.Split((piece, into) =>
            {
                if (prefix && !piece.Span.StartsWith(" ", StringComparison.Ordinal))
                {
                    piece = piece.Own();
                    piece.Source.Prepend(" ");
                    piece = piece.Whole();
                }

                if (words)
                {
                    text.SplitPiece(piece, SplitPattern.Gpt2, into);
                }
                else
                {
                    into.Add(piece);
                }
            });
        }

        if (text.MayLeaveBytes)
        {
            text.BytesPending = true;
            return;
        }

        text.Split(static (piece, into) =>
        {
            piece = piece.Own();
            ByteAlphabet.Apply(piece.Source, piece.OriginalStart);
            into.Add(piece.Whole());
        });
    }
}

/// <summary>Chunks of so many code points.</summary>
internal sealed class FixedLengthPreTokenizer(int length) : PreTokenizer
{
    public override void Apply(PreTokenizedText text) => text.Split((piece, into) =>
    {
        ReadOnlySpan<char> span = piece.Span;
        for (int at = 0; at < span.Length;)
        {
            int start = at;
            for (int i = 0; i < length && at < span.Length; i++)
            {
                CodePoints.Next(span, ref at);
            }

            into.Add(piece.Slice(start, at));
        }
    });
}
