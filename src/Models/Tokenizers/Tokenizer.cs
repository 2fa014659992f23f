using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>Turns text into the ids of a model and back. Reads `tokenizer.json` files of Hugging Face tokenizers; safe for use by many threads at
/// once.</summary>
/// <remarks>Truncation and padding that a file asks for are not carried out: lengths are the business of whoever builds batches.</remarks>
public sealed class Tokenizer
{
    private readonly Normalizer? _normalizer;
    private readonly PreTokenizer? _preTokenizer;
    private readonly TokenModel _model;
    private readonly PostProcessor? _postProcessor;
    private readonly Decoder? _decoder;
    private readonly AddedVocabulary _added;
    private readonly bool _alwaysAligned;
    private readonly bool _mayLeaveBytes;
    private readonly (IReadOnlyList<int> Before, IReadOnlyList<int> After)? _surroundings;

    internal Tokenizer(TokenizerParts parts)
    {
        _normalizer = parts.Normalizer;
        _preTokenizer = parts.PreTokenizer;
        _model = parts.Model;
        _postProcessor = parts.PostProcessor;
        _decoder = parts.Decoder;
        _added = new AddedVocabulary(parts.Added, parts.Model.Vocabulary, parts.Normalizer);
        Config = parts.Config;
        _alwaysAligned = _preTokenizer?.NeedsAlignment == true;
        _mayLeaveBytes = _model.TakesBytes && _preTokenizer?.EndsInBytes == true;
        _surroundings = _postProcessor is null ? ([], []) : _postProcessor.Surroundings;
    }

    /// <summary>What `tokenizer_config.json` beside the file says; empty if there is none.</summary>
    public TokenizerConfig Config { get; }

    /// <summary>Number of different tokens, added ones among them.</summary>
    public int VocabularySize => _model.Vocabulary.Count + _added.Tokens.Count(t => _model.Vocabulary.IdOf(t.Content) is null);

    /// <summary>The added tokens by id.</summary>
    public IReadOnlyList<AddedToken> AddedTokens => _added.Tokens;

    /// <summary>Id of the token that begins a text, null if the configuration names none.</summary>
    public int? BosId => IdOf(Config.BosToken);

    /// <summary>Id of the token that ends a text, null if the configuration names none.</summary>
    public int? EosId => IdOf(Config.EosToken);

    /// <summary>Id of the padding token, null if the configuration names none.</summary>
    public int? PadId => IdOf(Config.PadToken);

    /// <summary>Id of the token for unknown text, null if the configuration names none.</summary>
    public int? UnknownId => IdOf(Config.UnknownToken);

    /// <summary>Loads a `tokenizer.json`, or the one in a directory, with the `tokenizer_config.json` beside it. Throws
    /// <see cref="CheckpointException"/> that names file and field.</summary>
    public static Tokenizer Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return TokenizerReader.Load(path);
    }

    /// <summary>Reads the bytes of a `tokenizer.json`; <paramref name="name"/> stands for the file in errors. Throws
    /// <see cref="CheckpointException"/>.</summary>
    public static Tokenizer Parse(ReadOnlySpan<byte> json, string name) => TokenizerReader.Parse(json, name, TokenizerConfig.Empty);

    /// <summary>The tokens of a text.</summary>
    /// <param name="text">Any text; surrogates that stand alone count as U+FFFD.</param>
    /// <param name="addSpecialTokens">Whether to add what the model expects around its input.</param>
    public Encoding Encode(string text, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        return Process([text], addSpecialTokens);
    }

    /// <summary>The tokens of a pair of texts, joined as the post-processor has it.</summary>
    public Encoding Encode(string text, string pair, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(pair);
        return Process([text, pair], addSpecialTokens);
    }

    /// <summary>Appends the ids of a text. The fast way: no tokens, no offsets; equal to the ids of <see cref="Encode(string, bool)"/>.</summary>
    public void EncodeIds(ReadOnlySpan<char> text, List<int> ids, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(ids);
        if (addSpecialTokens && _surroundings is null)
        {
            ids.AddRange(Encode(text.ToString()).Ids);
            return;
        }

        if (addSpecialTokens)
        {
            ids.AddRange(_surroundings!.Value.Before);
        }

        PreTokenizedText pieces = Cut(CodePoints.Repair(text.ToString()), _alwaysAligned);
        foreach (Piece piece in pieces.Pieces)
        {
            if (piece.IsAdded)
            {
                ids.Add(piece.AddedId);
            }
            else
            {
                _model.Tokenize(piece.Span, pieces.BytesPending, ids);
            }
        }

        if (addSpecialTokens)
        {
            ids.AddRange(_surroundings!.Value.After);
        }
    }

    /// <summary>The ids of a text.</summary>
    public int[] EncodeIds(ReadOnlySpan<char> text, bool addSpecialTokens = true)
    {
        List<int> ids = new((text.Length / 3) + 4);
        EncodeIds(text, ids, addSpecialTokens);
        return [.. ids];
    }

    /// <summary>The text of ids. Ids outside the vocabulary are left out.</summary>
    /// <param name="ids">The ids.</param>
    /// <param name="skipSpecialTokens">Leave special tokens out as well.</param>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = false)
    {
        List<string> tokens = new(ids.Length);
        foreach (int id in ids)
        {
            if (IdToToken(id) is { } token && !(skipSpecialTokens && _added.IsSpecial(token)))
            {
                tokens.Add(token);
            }
        }

        return _decoder is null ? string.Join(' ', tokens) : string.Concat(_decoder.Apply(tokens));
    }

    /// <summary>Decodes ids that arrive one by one.</summary>
    public DecodeStream CreateDecodeStream(bool skipSpecialTokens = false) => new(this, skipSpecialTokens);

    /// <summary>The id of a token, null if there is none.</summary>
    public int? TokenToId(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return _added.IdOf(token) ?? _model.Vocabulary.IdOf(token);
    }

    /// <summary>The token of an id, null if there is none.</summary>
    public string? IdToToken(int id) => _added.FormOf(id) ?? _model.Vocabulary.TokenOf(id);

    private int? IdOf(string? token) => token is null ? null : TokenToId(token);

    private PreTokenizedText Cut(string text, bool aligned)
    {
        PreTokenizedText pieces = new() { MayLeaveBytes = _mayLeaveBytes };
        if (text.Length > 0)
        {
            pieces.Reset(NormalizedText.Of(text, aligned), aligned ? CodePoints.Count(text) : text.Length);
            _added.Extract(pieces, _normalizer);
            _preTokenizer?.Apply(pieces);
        }

        return pieces;
    }

    private Encoding Process(string[] texts, bool addSpecialTokens)
    {
        List<EncodingPart> parts = [];
        for (int i = 0; i < texts.Length; i++)
        {
            PreTokenizedText pieces = Cut(CodePoints.Repair(texts[i]), aligned: true);
            parts.Add(EncodingBuilder.Build(pieces, _model, i));
        }

        if (_postProcessor is not null)
        {
            parts = _postProcessor.Process(parts, addSpecialTokens);
        }

        EncodingPart all = new();
        parts.ForEach(all.Append);
        return new Encoding(all, texts);
    }
}

/// <summary>What a tokenizer is made of.</summary>
internal sealed record TokenizerParts(TokenModel Model)
{
    public Normalizer? Normalizer { get; init; }

    public PreTokenizer? PreTokenizer { get; init; }

    public PostProcessor? PostProcessor { get; init; }

    public Decoder? Decoder { get; init; }

    public IReadOnlyList<AddedToken> Added { get; init; } = [];

    public TokenizerConfig Config { get; init; } = TokenizerConfig.Empty;
}
