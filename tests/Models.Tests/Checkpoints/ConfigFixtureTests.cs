using System.Text.Json;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
[Category("Fixtures")]
public sealed class ConfigFixtureTests
{
    private static IEnumerable<string> Files()
    {
        return FixtureFolder.Cases("architectures").SelectMany(c => Directory.EnumerateFiles(FixtureFolder.PathOf("architectures", c), "config*.json").Order(StringComparer.Ordinal))
            .Select(f => Path.GetRelativePath(FixtureFolder.Root, f));
    }

    private static object Parse(string text, string path, List<string> warnings)
    {
        HuggingFaceConfig config = HuggingFaceConfig.Parse(text, path);
        return config.ModelType == "gpt2" ? Gpt2Config.Parse(config.Root, path, warnings) : LlamaConfig.Parse(config.Root, path, warnings);
    }

    [TestCaseSource(nameof(Files))]
    public void A_recorded_config_is_read_and_written_or_its_family_is_refused_by_name(string file)
    {
        string path = FixtureFolder.PathOf(file);
        string text = File.ReadAllText(path);
        using JsonDocument json = JsonDocument.Parse(text);
        string type = json.RootElement.GetProperty("model_type").GetString()!;
        List<string> warnings = [];
        if (!HuggingFaceConfig.SupportedModelTypes.Contains(type))
        {
            Assert.That(() => Parse(text, path, warnings), Throws.TypeOf<CheckpointException>().With.Message.Contains($"\"{type}\"").And.Message.Contains("llama, mistral"));
            return;
        }

        object config = Parse(text, path, warnings);
        Assert.That(warnings, Is.Empty);
        string written = config is LlamaConfig llama ? llama.Write() : ((Gpt2Config)config).Write();
        Assert.That(Parse(written, "written", warnings), Is.EqualTo(config), "written anew");
        Assert.That(config is LlamaConfig l ? l.Write(text) : ((Gpt2Config)config).Write(text), Is.EqualTo(text), "written over the original");
        Assert.That(warnings, Is.Empty);

        string other = Path.Combine(Path.GetDirectoryName(path)!, "config.json");
        Assert.That(Parse(File.ReadAllText(other), other, warnings), Is.EqualTo(config), "both spellings of a case say the same");
    }

    private static IEnumerable<string> LlamaFiles()
    {
        return Files().Where(f =>
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllText(FixtureFolder.PathOf(f)));
            return LlamaConfig.ModelTypes.Contains(json.RootElement.GetProperty("model_type").GetString()!);
        });
    }

    [TestCaseSource(nameof(LlamaFiles))]
    public void The_shapes_of_the_weights_are_those_that_the_config_says(string file)
    {
        string path = FixtureFolder.PathOf(file);
        string folder = Path.GetDirectoryName(path)!;
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(path));
        LlamaConfig config = LlamaConfig.Parse(json.RootElement, path);
        using ICheckpoint weights = CheckpointReader.Open(folder);
        int last = config.NumHiddenLayers - 1;
        Assert.That(weights.Entry("model.embed_tokens.weight").Shape, Is.EqualTo(new Shape(config.VocabSize, config.HiddenSize)));
        Assert.That(weights.Entry($"model.layers.{last}.self_attn.q_proj.weight").Shape, Is.EqualTo(new Shape(config.NumAttentionHeads * config.HeadDim, config.HiddenSize)));
        Assert.That(weights.Entry($"model.layers.{last}.self_attn.v_proj.weight").Shape, Is.EqualTo(new Shape(config.NumKeyValueHeads * config.HeadDim, config.HiddenSize)));
        Assert.That(weights.Entry($"model.layers.{last}.mlp.down_proj.weight").Shape, Is.EqualTo(new Shape(config.HiddenSize, config.IntermediateSize)));
        Assert.That(weights.Tensors.ContainsKey("lm_head.weight"), Is.EqualTo(!config.TieWordEmbeddings));
        Assert.That(weights.Tensors.ContainsKey("model.layers.0.self_attn.q_proj.bias"), Is.EqualTo(config.QkvBias));
        Assert.That(weights.Tensors.ContainsKey("model.layers.0.self_attn.o_proj.bias"), Is.EqualTo(config.OutputBias));
        Assert.That(weights.Tensors.ContainsKey("model.layers.0.self_attn.q_norm.weight"), Is.EqualTo(config.QkNorm));
    }
}
