using System.Text.Json;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Runtime;

namespace Graft.Models.Tests.Generation;

/// <summary>Recorded generations and the distributions that recorded tokens were drawn from.</summary>
[Category("Fixtures")]
public sealed class GenerationFixtureTests
{
    private CpuDevice _device = null!;
    private PretrainedModel? _model;

    [OneTimeSetUp]
    public void Load()
    {
        _device = new CpuDevice(2);
        string folder = FixtureFolder.PathOf("decoding", "model");
        _model = Directory.Exists(folder) ? PretrainedModel.Load(folder, _device, new LoadOptions { Tokenizer = false }) : null;
    }

    [OneTimeTearDown]
    public void Close()
    {
        _model?.Dispose();
        _device.Dispose();
    }

    public static IEnumerable<TestCaseData> Generations() => Lines(FixtureFolder.PathOf("decoding", "generation", "generation.jsonl"), "The_generation_agrees");

    public static IEnumerable<TestCaseData> Samplings()
    {
        string file = FixtureFolder.PathOf("decoding", "sampling", "case.json");
        return !File.Exists(file) ? [] : JsonDocument.Parse(File.ReadAllText(file)).RootElement.GetProperty("rows").EnumerateArray()
            .Select(r => new TestCaseData(r.Clone()).SetName($"The_distributions_agree({r.GetProperty("name").GetString()})"));
    }

    [TestCaseSource(nameof(Generations))]
    public void The_generation_agrees(JsonElement row)
    {
        string name = row.GetProperty("name").GetString()!;
        JsonElement settings = row.GetProperty("settings");
        if (settings.TryGetProperty("num_beams", out _) || name.StartsWith("assisted", StringComparison.Ordinal) || settings.TryGetProperty("prompt_lookup_num_tokens", out _))
        {
            Assert.Ignore("beam search and assisted decoding are not built yet");
        }

        using Generator generator = new(_model!.Model, null, _device);
        GenerationResult result = generator.Generate(Integers(row.GetProperty("prompt")), Config(settings));
        int[] expected = Integers(row.GetProperty("sequences")[0]);
        Assert.That(result.Ids, Is.EqualTo(expected));
    }

    [TestCaseSource(nameof(Samplings))]
    public void The_distributions_agree(JsonElement row)
    {
        string folder = FixtureFolder.PathOf("decoding", "sampling");
        double tolerance = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "case.json"))).RootElement.GetProperty("tolerance").GetProperty("probabilities").GetDouble();
        using ICheckpoint tensors = CheckpointReader.Open(Path.Combine(folder, "tensors.safetensors"));
        float[] expected = tensors.ReadFloats($"probabilities.{row.GetProperty("name").GetString()}");
        int[] prompt = Integers(row.GetProperty("prompt"));
        int[] tokens = Integers(row.GetProperty("tokens"));
        GenerationConfig config = Config(row.GetProperty("settings")) with { DoSample = true };
        int vocabulary = _model!.Model.VocabSize;
        using Arena arena = new(_device, "test");
        for (int i = 0; i < tokens.Length; i++)
        {
            using Scope scope = arena.Enter("row");
            int[] ids = [.. prompt, .. tokens[..i]];
            Layers.ForwardContext c = new(Tape.None(arena), new Layers.TokenLayout(1, ids.Length));
            float[] scores = _model.Model.Logits(c, arena.Create<int>(new Shape(1, ids.Length), ids, MemoryCategory.Activations)).AsSpan<float>()[^vocabulary..].ToArray();
            double[] probabilities = new Sampler(config, prompt.Length, config.EosTokenIds).Probabilities(ids, scores);
            Closeness.AssertAbsolute($"token {i}", [.. probabilities.Select(p => (float)p)], expected.AsSpan(i * vocabulary, vocabulary), tolerance);
            Assert.That(probabilities.Select(p => p == 0), Is.EqualTo(expected.AsSpan(i * vocabulary, vocabulary).ToArray().Select(p => p == 0)), $"zeros of token {i}");
        }
    }

    [Test]
    public void Drawn_tokens_follow_the_distribution_and_the_seed()
    {
        using Generator generator = new(_model!.Model, null, _device);
        GenerationConfig config = new() { DoSample = true, MaxNewTokens = 12, TopK = 0 };
        generator.Random = new Rng(3);
        int[] first = [.. generator.Generate([5, 6, 7], config).Ids];
        Assert.That(generator.Generate([5, 6, 7], config).Ids, Is.EqualTo(first), "the same seed");
        generator.Random = new Rng(4);
        Assert.That(generator.Generate([5, 6, 7], config).Ids, Is.Not.EqualTo(first), "another seed");

        Sampler sampler = new(config, 1, []);
        float[] scores = [0, MathF.Log(2), MathF.Log(5), float.NegativeInfinity];
        int[] counts = new int[4];
        for (int i = 0; i < 8000; i++)
        {
            counts[sampler.Next([0], [.. scores], (i + 0.5) / 8000)]++;
        }

        Assert.That(counts, Is.EqualTo(new[] { 1000, 2000, 5000, 0 }));
    }

    [Test]
    public void A_prompt_without_tokens_or_too_long_is_refused()
    {
        using Generator generator = new(_model!.Model, null, _device);
        Assert.That(() => generator.Generate([], new GenerationConfig()), Throws.TypeOf<ShapeException>());
        Assert.That(() => generator.Generate(new int[_model!.Model.MaxPositions], new GenerationConfig()), Throws.TypeOf<ShapeException>().With.Message.Contains("must have"));
    }

    private static IEnumerable<TestCaseData> Lines(string file, string test)
    {
        return !File.Exists(file) ? [] : File.ReadLines(file).Where(l => l.Length > 0).Select(l => JsonDocument.Parse(l).RootElement)
            .Select(r => new TestCaseData(r).SetName($"{test}({r.GetProperty("name").GetString()})"));
    }

    private static GenerationConfig Config(JsonElement settings) => GenerationConfig.Parse(settings, "settings");

    private static int[] Integers(JsonElement list) => [.. list.EnumerateArray().Select(v => v.GetInt32())];
}
