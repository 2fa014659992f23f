using Graft.Runtime;

namespace Graft.Models.Tokenizers;

/// <summary>The pre-tokenizers that GGUF files name in `tokenizer.ggml.pre`.</summary>
internal static class GgufPreTokenizers
{
    private const string Llama3 =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string Qwen2 =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string O200k =
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        + @"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        + @"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>The pre-tokenizer of a name, whether whole words come before merges, and whether text is composed (NFC) first.</summary>
    public static (PreTokenizer PreTokenizer, bool IgnoreMerges, bool Compose) Find(string? name)
    {
        switch (name)
        {
            case null or "default" or "gpt-2" or "gpt2" or "phi-2" or "jina-es" or "jina-de" or "mpt" or "olmo" or "jais":
                return (new ByteLevelPreTokenizer(prefix: false, words: true), false, false);
            case "smollm" or "starcoder" or "refact" or "command-r" or "codeshell" or "exaone":
                return (new PreTokenizerSequence(
                    [new CharacterPreTokenizer(CharacterProperties.IsNumeric, SplitBehavior.Isolated), new ByteLevelPreTokenizer(prefix: false,
                        words: true)]), false, false);
            case "llama-bpe" or "llama3" or "llama-v3" or "dbrx" or "smaug-bpe":
                return (BySplit(Llama3), true, false);
            case "qwen2" or "deepseek-r1-qwen":
                return (BySplit(Qwen2), false, true);
            case "gpt-4o" or "llama4" or "o200k":
                return (BySplit(O200k), false, false);
            default:
                throw new CheckpointException($"tokenizer.ggml.pre: the pre-tokenizer '{name}' is not known");
        }
    }

    private static PreTokenizerSequence BySplit(string pattern) => new(
        [new SplitPreTokenizer(SplitPattern.OfRegex(pattern), invert: false, SplitBehavior.Isolated), new ByteLevelPreTokenizer(prefix: false, words: false)]);
}
