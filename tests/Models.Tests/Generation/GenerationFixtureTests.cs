using System.Text.Json;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Runtime;

namespace Graft.Models.Tests.Generation;

/// <summary>Recorded generations on the CPU, and the distributions that recorded tokens were drawn from.</summary>
[Category("Fixtures")]
public sealed class GenerationFixtureTests : GenerationSuite
{
    protected override Device Open() => new CpuDevice(2);

    public static IEnumerable<TestCaseData> Samplings()
    {
        string file = FixtureFolder.PathOf("decoding", "sampling", "case.json");
        return !File.Exists(file) ? [] : JsonDocument.Parse(File.ReadAllText(file)).RootElement.GetProperty("rows").EnumerateArray()
            .Select(r => new TestCaseData(r.Clone()).SetName($"The_distributions_agree({r.GetProperty("name").GetString()})"));
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
        int vocabulary = Model.Model.VocabSize;
        using Arena arena = new(Device, "test");
        for (int i = 0; i < tokens.Length; i++)
        {
            using Scope scope = arena.Enter("row");
            int[] ids = [.. prompt, .. tokens[..i]];
            Layers.ForwardContext c = new(Tape.None(arena), new Layers.TokenLayout(1, ids.Length));
            float[] scores = Model.Model.Logits(c, arena.Create<int>(new Shape(1, ids.Length), ids, MemoryCategory.Activations)).AsSpan<float>()[^vocabulary..].ToArray();
            double[] probabilities = new Sampler(config, prompt.Length, config.EosTokenIds).Probabilities(ids, scores);
            Closeness.AssertAbsolute($"token {i}", [.. probabilities.Select(p => (float)p)], expected.AsSpan(i * vocabulary, vocabulary), tolerance);
            Assert.That(probabilities.Select(p => p == 0), Is.EqualTo(expected.AsSpan(i * vocabulary, vocabulary).ToArray().Select(p => p == 0)), $"zeros of token {i}");
        }
    }

    [Test]
    public void Drawn_tokens_follow_the_distribution_and_the_seed()
    {
        using Generator generator = new(Model.Model, null, Device);
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
        using Generator generator = new(Model.Model, null, Device);
        Assert.That(() => generator.Generate([], new GenerationConfig()), Throws.TypeOf<ShapeException>());
        Assert.That(() => generator.Generate(new int[Model.Model.MaxPositions], new GenerationConfig()), Throws.TypeOf<ShapeException>().With.Message.Contains("must have"));
    }
}
