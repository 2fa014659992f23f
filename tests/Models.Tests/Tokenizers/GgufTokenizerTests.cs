using CsCheck;
using Graft.Models.Tokenizers;
using Graft.Runtime;

namespace Graft.Models.Tests.Tokenizers;

[TestFixture]
public class GgufTokenizerTests
{
    private static readonly string[] s_tokens =
        ["<unk>", "<s>", "</s>", .. Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>"), "▁", "a", "b", "c", "ab", "bc", "▁a", "abc", "aa", "▁ab", "ca", "caa", "b▁"];

    [Test]
    public void A_llama_vocabulary_merges_the_neighbours_of_highest_score()
    {
        Gen.Select(Gen.Char["abc "].Array[0, 24].Select(a => new string(a)), Gen.Int[0, 9].Array[s_tokens.Length]).Sample(
            (text, steps) =>
            {
                float[] scores = [.. steps.Select(s => -s)];
                Tokenizer tokenizer = GgufTokenizer.Create(Vocabulary(scores));
                return tokenizer.EncodeIds(text).SequenceEqual(Reference(text, scores)) && tokenizer.Decode(tokenizer.EncodeIds(text), true) == text;
            },
            iter: 1500,
            seed: "0N0XIzNsQ0O2");
    }

    [Test]
    public void A_llama_vocabulary_falls_back_to_bytes_and_knows_its_control_tokens()
    {
        Tokenizer tokenizer = GgufTokenizer.Create(Vocabulary(new float[s_tokens.Length]));
        Assert.That(tokenizer.EncodeIds("é</s>"), Is.EqualTo(new[] { 1, Array.IndexOf(s_tokens, "▁"), 3 + 0xC3, 3 + 0xA9, 2 }));
        Assert.That((tokenizer.BosId, tokenizer.EosId, tokenizer.UnknownId), Is.EqualTo((1, 2, 0)));
    }

    [Test]
    public void Lists_that_do_not_fit_and_names_that_are_not_known_are_refused()
    {
        GgufVocabulary good = Vocabulary(new float[s_tokens.Length]);
        Assert.Multiple(() =>
        {
            Refused(good with { Model = "t5" }, "t5");
            Refused(good with { Scores = [0] }, "scores");
            Refused(good with { Scores = null }, "scores");
            Refused(good with { TokenTypes = [1] }, "token_type");
            Refused(good with { Bos = 100000 }, "bos");
            Refused(good with { Model = "gpt2" }, "merges");
            Refused(good with { Model = "gpt2", Merges = ["a b", "q r"] }, "merges");
            Refused(good with { Model = "gpt2", Merges = ["ab"] }, "merges");
            Refused(good with { Model = "gpt2", Merges = [], Pre = "frob" }, "frob");
        });

        static void Refused(GgufVocabulary vocabulary, string named) =>
            Assert.That(() => GgufTokenizer.Create(vocabulary), Throws.TypeOf<CheckpointException>().With.Message.Contains(named));
    }

    private static GgufVocabulary Vocabulary(float[] scores) => new(
        "llama", null, s_tokens, scores, [2, 3, 3, .. Enumerable.Repeat(6, 256), .. Enumerable.Repeat(1, s_tokens.Length - 259)], null, 1, 2, null, 0,
            null, null);

    /// <summary>SentencePiece's rule, done the slow way.</summary>
    private static List<int> Reference(string text, float[] scores)
    {
        List<string> pieces = text.Length == 0 ? [] : [.. ("▁" + text.Replace(' ', '▁')).Select(c => c.ToString())];
        while (true)
        {
            int best = -1;
            float score = float.NegativeInfinity;
            for (int i = 0; i + 1 < pieces.Count; i++)
            {
                int id = Array.IndexOf(s_tokens, pieces[i] + pieces[i + 1]);
                if (id >= 0 && scores[id] > score)
                {
                    (best, score) = (i, scores[id]);
                }
            }

            if (best < 0)
            {
                return [1, .. pieces.Select(p => Array.IndexOf(s_tokens, p))];
            }

            pieces[best] += pieces[best + 1];
            pieces.RemoveAt(best + 1);
        }
    }
}
