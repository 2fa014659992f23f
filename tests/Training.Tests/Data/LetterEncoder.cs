using Graft.Training.Data;

namespace Graft.Training.Tests.Data;

/// <summary>A tokenizer for tests: runs of letters and digits are merged two by two, so that where a text is cut shows in the tokens.</summary>
internal sealed class LetterEncoder : ITextEncoder
{
    public const int Bos = 1;
    public const int Eos = 2;
    public const int ImStart = 3;
    public const int ImEnd = 4;

    public string Fingerprint { get; init; } = "letters 1";

    public IReadOnlyDictionary<string, int> SpecialTokens { get; } = new Dictionary<string, int>
    {
        ["<s>"] = Bos,
        ["</s>"] = Eos,
        ["<|im_start|>"] = ImStart,
        ["<|im_end|>"] = ImEnd,
    };

    /// <summary>Starts every text with this token, as tokenizers with a leading space do; 0 for none.</summary>
    public int Prefix { get; init; }

    public int? BosToken { get; init; } = Bos;

    public int? EosToken { get; init; } = Eos;

    public static int[] Tokens(string text)
    {
        List<int> ids = [];
        new LetterEncoder().Encode(text, ids);
        return [.. ids];
    }

    public void Encode(ReadOnlySpan<char> text, List<int> ids)
    {
        if (Prefix != 0)
        {
            ids.Add(Prefix);
        }

        for (int i = 0; i < text.Length; i++)
        {
            if (i + 1 < text.Length && char.IsLetterOrDigit(text[i]) && char.IsLetterOrDigit(text[i + 1]))
            {
                ids.Add(1_000_000 + (text[i] * 1000) + text[i + 1]);
                i++;
            }
            else
            {
                ids.Add(100 + text[i]);
            }
        }
    }
}
