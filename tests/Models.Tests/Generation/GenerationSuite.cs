using System.Text.Json;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Runtime;

namespace Graft.Models.Tests.Generation;

/// <summary>Recorded generations.</summary>
/// <remarks>One suite, one class per device: <see cref="GenerationFixtureTests"/> on the CPU, <see cref="GenerationCudaTests"/> on CUDA.</remarks>
public abstract class GenerationSuite
{
    private Device _device = null!;
    private PretrainedModel? _model;

    private protected PretrainedModel Model => _model!;

    private protected Device Device => _device;

    /// <summary>The device of the class; it ends with the class.</summary>
    protected abstract Device Open();

    [OneTimeSetUp]
    public void Load()
    {
        _device = Open();
        string folder = FixtureFolder.PathOf("decoding", "model");
        _model = Directory.Exists(folder) ? PretrainedModel.Load(folder, _device, new LoadOptions { Tokenizer = false }) : null;
    }

    [OneTimeTearDown]
    public void Close()
    {
        _model?.Dispose();
        _device?.Dispose();
    }

    public static IEnumerable<TestCaseData> Generations() => Lines(FixtureFolder.PathOf("decoding", "generation", "generation.jsonl"), "The_generation_agrees");

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

    private static IEnumerable<TestCaseData> Lines(string file, string test)
    {
        return !File.Exists(file) ? [] : File.ReadLines(file).Where(l => l.Length > 0).Select(l => JsonDocument.Parse(l).RootElement)
            .Select(r => new TestCaseData(r).SetName($"{test}({r.GetProperty("name").GetString()})"));
    }

    private protected static GenerationConfig Config(JsonElement settings) => GenerationConfig.Parse(settings, "settings");

    private protected static int[] Integers(JsonElement list) => [.. list.EnumerateArray().Select(v => v.GetInt32())];
}
