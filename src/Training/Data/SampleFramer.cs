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
/// Text between two special tokens of the format is encoded in one piece, literal and data together, so that tokens are those of the whole string;
/// a new piece starts where loss starts, so that no token is half prompt and half completion.
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
        var piece = new StringBuilder();
        foreach (PromptFormat.Part part in _parts)
        {
            if (part.Kind == PromptFormat.PartKind.Completion)
            {
                break;
            }

            Add(part, prompt, string.Empty, piece, ids);
        }

        Flush(piece, ids);
        AddBos(ids);
        return ids;
    }

    /// <summary>Replaces the content of <paramref name="ids"/> and <paramref name="mask"/> (1 where the token carries loss) by those of a sample.</summary>
    internal FramingOutcome Frame(DataSample sample, List<int> ids, List<byte> mask)
    {
        ids.Clear();
        mask.Clear();
        var piece = new StringBuilder();
        int withoutLoss = 0;
        if (sample is PromptSample pair)
        {
            foreach (PromptFormat.Part part in _parts)
            {
                if (part.Kind == PromptFormat.PartKind.Completion)
                {
                    Flush(piece, ids);
                    withoutLoss = ids.Count;
                }

                Add(part, pair.Prompt, pair.Completion, piece, ids);
            }
        }
        else
        {
            AddData(((TextSample)sample).Text, piece, ids);
        }

        Flush(piece, ids);
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

    private void Add(PromptFormat.Part part, string prompt, string completion, StringBuilder piece, List<int> ids)
    {
        switch (part.Kind)
        {
            case PromptFormat.PartKind.Literal:
                AddWithSpecials(part.Text, piece, ids);
                break;
            case PromptFormat.PartKind.Prompt:
                AddData(prompt, piece, ids);
                break;
            default:
                AddData(completion, piece, ids);
                break;
        }
    }

    private void AddData(string text, StringBuilder piece, List<int> ids)
    {
        if (_options.AllowSpecialTokens)
        {
            AddWithSpecials(text, piece, ids);
        }
        else
        {
            piece.Append(text);
        }
    }

    private void AddWithSpecials(string text, StringBuilder piece, List<int> ids)
    {
        int start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            foreach (string special in _specials)
            {
                if (string.CompareOrdinal(text, i, special, 0, special.Length) == 0)
                {
                    piece.Append(text, start, i - start);
                    Flush(piece, ids);
                    ids.Add(_encoder.SpecialTokens[special]);
                    start = i + special.Length;
                    i = start - 1;
                    break;
                }
            }
        }

        piece.Append(text, start, text.Length - start);
    }

    private void Flush(StringBuilder piece, List<int> ids)
    {
        if (piece.Length > 0)
        {
            _encoder.Encode(piece.ToString(), ids);
            piece.Clear();
        }
    }
}
