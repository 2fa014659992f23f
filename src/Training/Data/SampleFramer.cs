using System.Runtime.InteropServices;
using System.Text;
using Graft.Runtime;

namespace Graft.Training.Data;

/// <summary>What framing did with a sample.</summary>
internal enum FramingOutcome
{
    Kept,
    Truncated,
    TooLong,
    WithoutLoss,
}

/// <summary>Turns samples into token ids and a mask of the tokens that carry loss. Usable from several threads at once.</summary>
/// <remarks>
/// Text between two special tokens of the format is encoded in one piece, literal and data together, so that tokens are those of the whole string.
/// Where loss begins inside a piece, the tokens of the whole piece are taken if those of its first part are their beginning; else the two parts are
/// encoded apart, so that no token is half prompt and half completion.
/// </remarks>
public sealed class SampleFramer
{
    private readonly ITextEncoder _encoder;
    private readonly FramingOptions _options;
    private readonly IReadOnlyList<PromptFormat.Part> _parts;
    private readonly string[] _specials;

    /// <summary>A framer for a tokenizer.</summary>
    /// <exception cref="ConfigurationException">The format is broken, or a begin or end token is asked for that the tokenizer does not have.</exception>
    public SampleFramer(ITextEncoder encoder, FramingOptions options)
    {
        ArgumentNullException.ThrowIfNull(encoder);
        ArgumentNullException.ThrowIfNull(options);
        _encoder = encoder;
        _options = options;
        _parts = PromptFormat.Parse(options.PromptFormat).Parts;
        _specials = [.. encoder.SpecialTokens.Keys.Where(k => k.Length > 0).OrderByDescending(k => k.Length).ThenBy(k => k, StringComparer.Ordinal)];
        if ((options.AppendEos && encoder.EosToken is null) || (options.AddBos && encoder.BosToken is null))
        {
            string missing = options.AddBos && encoder.BosToken is null ? "begin" : "end";
            throw new ConfigurationException($"The tokenizer has no {missing}-of-sequence token: switch the option that adds it off.");
        }

        if (options.MaxLength is < 0 or 1)
        {
            throw new ConfigurationException($"max_length is {options.MaxLength}: it must be 0 (no limit) or at least 2, a token and the one after it.");
        }
    }

    /// <summary>The tokens that a model is given to complete a prompt: the format up to {completion}.</summary>
    public IReadOnlyList<int> EncodePrompt(string prompt)
    {
        List<int> ids = [];
        var piece = new Piece(_encoder, ids);
        foreach (PromptFormat.Part part in _parts)
        {
            if (part.Kind == PromptFormat.PartKind.Completion)
            {
                break;
            }

            Add(part, prompt, string.Empty, piece);
        }

        piece.End();
        AddBos(ids);
        return ids;
    }

    /// <summary>Replaces the content of <paramref name="ids"/> and <paramref name="mask"/> (1 where the token carries loss) by those of a sample.</summary>
    internal FramingOutcome Frame(DataSample sample, List<int> ids, List<byte> mask)
    {
        ids.Clear();
        mask.Clear();
        var piece = new Piece(_encoder, ids);
        int withoutLoss = 0;
        if (sample is PromptSample pair)
        {
            foreach (PromptFormat.Part part in _parts)
            {
                if (part.Kind == PromptFormat.PartKind.Completion)
                {
                    piece.Cut();
                    withoutLoss = ids.Count;
                }

                Add(part, pair.Prompt, pair.Completion, piece);
            }
        }
        else
        {
            AddData(((TextSample)sample).Text, piece);
        }

        piece.End();
        if (_options.AppendEos && (ids.Count == withoutLoss || ids[^1] != _encoder.EosToken))
        {
            ids.Add(_encoder.EosToken!.Value);
        }

        withoutLoss += AddBos(ids);
        return Limit(ids, mask, withoutLoss);
    }

    private FramingOutcome Limit(List<int> ids, List<byte> mask, int withoutLoss)
    {
        FramingOutcome outcome = FramingOutcome.Kept;
        int excess = _options.MaxLength > 0 ? ids.Count - _options.MaxLength : 0;
        if (excess > 0)
        {
            if (_options.LongSamples != LongSamplePolicy.Truncate)
            {
                return FramingOutcome.TooLong;
            }

            // The begin token stays; one token without loss stays too, because the first token of a sequence is never predicted.
            int keep = Math.Min(withoutLoss, 1);
            int cut = Math.Min(excess, withoutLoss - keep);
            ids.RemoveRange(keep, cut);
            withoutLoss -= cut;
            ids.RemoveRange(ids.Count - (excess - cut), excess - cut);
            outcome = FramingOutcome.Truncated;
        }

        for (int i = 0; i < ids.Count; i++)
        {
            mask.Add(i < withoutLoss ? (byte)0 : (byte)1);
        }

        return ids.Count - Math.Max(1, withoutLoss) < 1 ? FramingOutcome.WithoutLoss : outcome;
    }

    private int AddBos(List<int> ids)
    {
        if (!_options.AddBos || (ids.Count > 0 && ids[0] == _encoder.BosToken))
        {
            return 0;
        }

        ids.Insert(0, _encoder.BosToken!.Value);
        return 1;
    }

    private void Add(PromptFormat.Part part, string prompt, string completion, Piece piece)
    {
        switch (part.Kind)
        {
            case PromptFormat.PartKind.Literal:
                AddWithSpecials(part.Text, piece);
                break;
            case PromptFormat.PartKind.Prompt:
                AddData(prompt, piece);
                break;
            default:
                AddData(completion, piece);
                break;
        }
    }

    private void AddData(string text, Piece piece)
    {
        if (_options.AllowSpecialTokens)
        {
            AddWithSpecials(text, piece);
        }
        else
        {
            piece.Append(text, 0, text.Length);
        }
    }

    private void AddWithSpecials(string text, Piece piece)
    {
        int start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            foreach (string special in _specials)
            {
                if (string.CompareOrdinal(text, i, special, 0, special.Length) == 0)
                {
                    piece.Append(text, start, i - start);
                    piece.EndWith(_encoder.SpecialTokens[special]);
                    start = i + special.Length;
                    i = start - 1;
                    break;
                }
            }
        }

        piece.Append(text, start, text.Length - start);
    }

    /// <summary>Text that is waiting to become tokens.</summary>
    private sealed class Piece(ITextEncoder encoder, List<int> ids)
    {
        private readonly StringBuilder _text = new();
        private string _before = string.Empty;
        private int _beforeStart;

        public void Append(string text, int start, int count) => _text.Append(text, start, count);

        /// <summary>Encodes what is there; what follows goes on in the same piece, but with tokens of its own.</summary>
        public void Cut()
        {
            (_before, _beforeStart) = (_text.ToString(), ids.Count);
            Encode(_before);
            _text.Clear();
        }

        public void EndWith(int specialToken)
        {
            End();
            ids.Add(specialToken);
        }

        public void End()
        {
            if (_text.Length > 0)
            {
                string after = _text.ToString();
                if (_before.Length == 0 || !TryContinue(after))
                {
                    Encode(after);
                }

                _text.Clear();
            }

            _before = string.Empty;
        }

        private bool TryContinue(string after)
        {
            List<int> whole = [];
            encoder.Encode(_before + after, whole);
            int known = ids.Count - _beforeStart;
            if (whole.Count < known || !CollectionsMarshal.AsSpan(whole)[..known].SequenceEqual(CollectionsMarshal.AsSpan(ids)[_beforeStart..]))
            {
                return false;
            }

            ids.AddRange(CollectionsMarshal.AsSpan(whole)[known..]);
            return true;
        }

        private void Encode(string text)
        {
            if (text.Length > 0)
            {
                encoder.Encode(text, ids);
            }
        }
    }
}
