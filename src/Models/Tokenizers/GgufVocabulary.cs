namespace Graft.Models.Tokenizers;

/// <summary>The vocabulary of a GGUF file as its metadata gives it (`tokenizer.ggml.*`); <see cref="GgufTokenizer"/> builds a tokenizer from it.</summary>
/// <param name="Model">`tokenizer.ggml.model`: "gpt2" (byte-level BPE) or "llama" (SentencePiece BPE, merged by score).</param>
/// <param name="Pre">`tokenizer.ggml.pre`: the name of the pre-tokenizer, null for the default.</param>
/// <param name="Tokens">`tokenizer.ggml.tokens`, by id.</param>
/// <param name="Scores">`tokenizer.ggml.scores`, by id; needed for "llama".</param>
/// <param name="TokenTypes">`tokenizer.ggml.token_type`, by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.</param>
/// <param name="Merges">`tokenizer.ggml.merges`, two tokens with a space between, best first; needed for "gpt2".</param>
/// <param name="Bos">Id of the token that begins a text.</param>
/// <param name="Eos">Id of the token that ends a text.</param>
/// <param name="Pad">Id of the padding token.</param>
/// <param name="Unknown">Id of the token for what is not in the vocabulary.</param>
/// <param name="AddBos">`tokenizer.ggml.add_bos_token`; null: the model's default.</param>
/// <param name="AddEos">`tokenizer.ggml.add_eos_token`; null: the model's default.</param>
public sealed record GgufVocabulary(
    string Model,
    string? Pre,
    IReadOnlyList<string> Tokens,
    IReadOnlyList<float>? Scores,
    IReadOnlyList<int>? TokenTypes,
    IReadOnlyList<string>? Merges,
    int? Bos,
    int? Eos,
    int? Pad,
    int? Unknown,
    bool? AddBos,
    bool? AddEos);
