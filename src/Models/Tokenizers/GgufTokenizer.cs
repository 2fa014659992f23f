using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>Builds a tokenizer from the metadata of a GGUF file.</summary>
public static class GgufTokenizer
{
    private const int Unknown = 2;
    private const int Control = 3;
    private const int UserDefined = 4;

    // SentencePiece writes blanks as this character.
    private const string Blank = "\u2581";

    /// <summary>Builds the tokenizer. Throws <see cref="CheckpointException"/> for a model or pre-tokenizer that is not known, by name, and for
    /// lists that do not fit.</summary>
    public static Tokenizer Create(GgufVocabulary vocabulary)
    {
        ArgumentNullException.ThrowIfNull(vocabulary);
        if (vocabulary.TokenTypes is { } types && types.Count != vocabulary.Tokens.Count)
        {
            throw new CheckpointException($"tokenizer.ggml.token_type has {types.Count} entries but tokenizer.ggml.tokens {vocabulary.Tokens.Count}");
        }

        TokenizerParts parts = vocabulary.Model switch
        {
            "gpt2" => ByteLevel(vocabulary),
            "llama" => SentencePiece(vocabulary),
            _ => throw new CheckpointException($"tokenizer.ggml.model: '{vocabulary.Model}' is not supported; gpt2 and llama are"),
        };
        TokenizerConfig config = new(
            TokenOf(vocabulary, vocabulary.Bos, "bos"), TokenOf(vocabulary, vocabulary.Eos, "eos"), TokenOf(vocabulary, vocabulary.Pad, "padding"),
            TokenOf(vocabulary, vocabulary.Unknown, "unknown"), null, null);
        return new Tokenizer(parts with { Added = Added(vocabulary), Config = config, PostProcessor = Around(vocabulary) });
    }

    private static TokenizerParts ByteLevel(GgufVocabulary vocabulary)
    {
        IReadOnlyList<string> lines = vocabulary.Merges ?? throw new CheckpointException("tokenizer.ggml.merges is missing; the model gpt2 needs it");
        Vocabulary tokens = Vocabulary.Of(vocabulary.Tokens);
        PairTable merges = new(lines.Count);
        for (int rank = 0; rank < lines.Count; rank++)
        {
            // The blank between is the first after the first character: a token may not begin with one.
            int blank = lines[rank].Length < 3 ? -1 : lines[rank].IndexOf(' ', 1);
            if (blank < 0)
            {
                throw new CheckpointException($"tokenizer.ggml.merges: entry {rank}, '{lines[rank]}', is not two tokens with a blank between");
            }

            BpeMerges.Add(merges, tokens, lines[rank][..blank], lines[rank][(blank + 1)..], string.Empty, rank,
                what => new CheckpointException($"tokenizer.ggml.merges: {what}"));
        }

        (PreTokenizer preTokenizer, bool ignoreMerges, bool compose) = GgufPreTokenizers.Find(vocabulary.Pre);
        return new TokenizerParts(new BpeModel(tokens, merges, new BpeOptions(null, string.Empty, string.Empty, false, false, ignoreMerges)))
        {
            Normalizer = compose ? new UnicodeForm(compatible: false, compose: true) : null,
            PreTokenizer = preTokenizer,
            Decoder = new ByteLevelDecoder(),
        };
    }

    /// <summary>SentencePiece's own merging: any two neighbours whose text is a token merge, highest score first.</summary>
    private static TokenizerParts SentencePiece(GgufVocabulary vocabulary)
    {
        IReadOnlyList<float> scores = vocabulary.Scores ?? throw new CheckpointException("tokenizer.ggml.scores is missing; the model llama needs it");
        if (scores.Count != vocabulary.Tokens.Count)
        {
            throw new CheckpointException($"tokenizer.ggml.scores has {scores.Count} entries but tokenizer.ggml.tokens {vocabulary.Tokens.Count}");
        }

        string? unknown = TokenOf(vocabulary, vocabulary.Unknown, "unknown") ?? FirstOfType(vocabulary, Unknown);
        Vocabulary tokens = Vocabulary.Of(vocabulary.Tokens);
        BpeOptions options = new(unknown, string.Empty, string.Empty, FuseUnknown: true, ByteFallback: true, IgnoreMerges: false);
        return new TokenizerParts(new BpeModel(tokens, GgufScores.ToMerges(vocabulary, scores, tokens), options))
        {
            Normalizer = new NormalizerSequence([new PrependNormalizer(Blank), new ReplaceNormalizer(SplitPattern.OfLiteral(" "), Blank)]),
            Decoder = new DecoderSequence(
                [new ReplaceDecoder(SplitPattern.OfLiteral(Blank), " "), new ByteFallbackDecoder(), new FuseDecoder(), new StripDecoder(" ", 1, 0)]),
        };
    }

    private static List<AddedToken> Added(GgufVocabulary vocabulary)
    {
        List<AddedToken> added = [];
        for (int id = 0; vocabulary.TokenTypes is { } types && id < types.Count; id++)
        {
            if (types[id] is Unknown or Control or UserDefined && vocabulary.Tokens[id].Length > 0)
            {
                added.Add(new AddedToken(id, vocabulary.Tokens[id], types[id] != UserDefined, false, false, false, false));
            }
        }

        return added;
    }

    private static TemplateProcessor? Around(GgufVocabulary vocabulary)
    {
        // llama.cpp's defaults: a SentencePiece model begins with bos, a byte-level one does not.
        bool bos = vocabulary.AddBos ?? vocabulary.Model == "llama";
        (string, int)[] before = bos && vocabulary.Bos is { } b ? [(TokenOf(vocabulary, b, "bos")!, b)] : [];
        (string, int)[] after = vocabulary.AddEos == true && vocabulary.Eos is { } e ? [(TokenOf(vocabulary, e, "eos")!, e)] : [];
        return before.Length + after.Length == 0 ? null : TemplateProcessor.Around(before, after);
    }

    private static string? FirstOfType(GgufVocabulary vocabulary, int type)
    {
        for (int id = 0; vocabulary.TokenTypes is { } types && id < types.Count; id++)
        {
            if (types[id] == type)
            {
                return vocabulary.Tokens[id];
            }
        }

        return null;
    }

    private static string? TokenOf(GgufVocabulary vocabulary, int? id, string what)
    {
        if (id is not { } value)
        {
            return null;
        }

        return (uint)value < (uint)vocabulary.Tokens.Count
            ? vocabulary.Tokens[value]
            : throw new CheckpointException($"tokenizer.ggml.{what}_token_id is {value} but there are {vocabulary.Tokens.Count} tokens");
    }
}
