using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Models.Generation;

namespace Graft.Models.Tests.Generation;

/// <summary>Every recorded processor alone, by its name in the recording.</summary>
[Category("Fixtures")]
public sealed class ProcessorFixtureTests
{
    private static readonly string s_folder = FixtureFolder.PathOf("decoding", "processors");

    public static IEnumerable<TestCaseData> Rows()
    {
        string file = Path.Combine(s_folder, "case.json");
        if (!File.Exists(file))
        {
            yield break;
        }

        foreach (JsonElement row in JsonDocument.Parse(File.ReadAllText(file)).RootElement.GetProperty("rows").EnumerateArray())
        {
            yield return new TestCaseData(row.Clone()).SetName($"The_processor_agrees({row.GetProperty("name").GetString()})");
        }
    }

    [TestCaseSource(nameof(Rows))]
    public void The_processor_agrees(JsonElement row)
    {
        ILogitsProcessor processor = Make(row.GetProperty("processor").GetString()!, row.GetProperty("settings"));
        double tolerance = JsonDocument.Parse(File.ReadAllText(Path.Combine(s_folder, "case.json"))).RootElement.GetProperty("tolerance").GetProperty("out").GetDouble();
        using ICheckpoint tensors = CheckpointReader.Open(Path.Combine(s_folder, "tensors.safetensors"));
        long[] ids = tensors.ReadArray<long>("ids");
        float[] scores = tensors.ReadFloats("scores");
        float[] expected = tensors.ReadFloats($"out.{row.GetProperty("name").GetString()}");
        int rows = tensors.Entry("ids").Shape[0];
        int length = ids.Length / rows;
        int vocabulary = scores.Length / rows;
        for (int i = 0; i < rows; i++)
        {
            processor.Process([.. ids.AsSpan(i * length, length).ToArray().Select(v => (int)v)], scores.AsSpan(i * vocabulary, vocabulary));
        }

        Assert.That(Removed(scores), Is.EqualTo(Removed(expected)), "the set of removed tokens");
        Closeness.AssertAbsolute("scores", scores, expected, tolerance);
    }

    private static IEnumerable<int> Removed(float[] scores) => Enumerable.Range(0, scores.Length).Where(i => float.IsNegativeInfinity(scores[i]));

    private static ILogitsProcessor Make(string processor, JsonElement s)
    {
        int keep = s.TryGetProperty("min_tokens_to_keep", out JsonElement k) ? k.GetInt32() : 1;
        float Number(string name) => s.GetProperty(name).GetSingle();
        int Integer(string name) => s.GetProperty(name).GetInt32();
        int[] List(string name) => [.. s.GetProperty(name).EnumerateArray().Select(v => v.GetInt32())];
        switch (processor)
        {
            case "TemperatureLogitsWarper": return new Temperature(Number("temperature"));
            case "TopKLogitsWarper": return new TopK(Integer("top_k"), keep);
            case "TopPLogitsWarper": return new TopP(Number("top_p"), keep);
            case "MinPLogitsWarper": return new MinP(Number("min_p"), keep);
            case "TypicalLogitsWarper": return new TypicalP(Number("typical_p"), keep);
            case "EpsilonLogitsWarper": return new Cutoff(Number("epsilon_cutoff"), false, keep);
            case "EtaLogitsWarper": return new Cutoff(Number("eta_cutoff"), true, keep);
            case "RepetitionPenaltyLogitsProcessor":
                return new RepetitionPenalty(Number("repetition_penalty"), s.TryGetProperty("prompt_ignore_length", out JsonElement ignored) ? ignored.GetInt32() : 0);
            case "NoRepeatNGramLogitsProcessor": return new NoRepeatNGram(Integer("no_repeat_ngram_size"));
            case "MinLengthLogitsProcessor": return new MinLength(Integer("min_length"), List("eos_token_ids"));
            case "MinNewTokensLengthLogitsProcessor": return new MinLength(Integer("prompt_length") + Integer("min_new_tokens"), List("eos_token_ids"));
            case "SuppressTokensLogitsProcessor": return new SuppressTokens(List("suppress_tokens"));
            case "SuppressTokensAtBeginLogitsProcessor": return new SuppressAtBegin(List("begin_suppress_tokens"), Integer("begin_index"));
            case "NoBadWordsLogitsProcessor":
                return new NoBadWords(s.GetProperty("bad_words_ids").EnumerateArray().Select(w => (IReadOnlyList<int>)[.. w.EnumerateArray().Select(v => v.GetInt32())]), List("eos_token_ids"));
            default:
                Assert.Ignore($"the processor {processor} is not built yet");
                throw new InvalidOperationException();
        }
    }
}
