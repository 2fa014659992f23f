using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Tokenizers;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
public sealed class GgufCheckpointTests
{
    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("graft-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    /// <summary>One layer, width 4, two heads of 4 on one key head; row r of a projection holds r, r + 0.1, ...</summary>
    internal static GgufBuilder Tiny(string name)
    {
        GgufBuilder builder = new GgufBuilder()
            .Add("general.architecture", name).Add($"{name}.block_count", 1u).Add($"{name}.context_length", 16u).Add($"{name}.embedding_length", 4u)
            .Add($"{name}.feed_forward_length", 2u).Add($"{name}.attention.head_count", 2u).Add($"{name}.attention.head_count_kv", 1u)
            .Add($"{name}.attention.key_length", 4u).Add($"{name}.attention.value_length", 4u)
            .Add($"{name}.attention.layer_norm_rms_epsilon", 1e-5f).Add("tokenizer.ggml.model", "gpt2").Add("tokenizer.ggml.tokens", new[] { "a", "b", "c" })
            .Add("tokenizer.ggml.merges", new[] { "a b" }).Add("tokenizer.ggml.eos_token_id", 2u).Add("tokenizer.chat_template", "{{ messages }}")
            .Floats("token_embd.weight", [3, 4], Rows(3, 4)).Floats("blk.0.attn_norm.weight", [4], Rows(1, 4))
            .Floats("blk.0.attn_q.weight", [8, 4], Rows(8, 4)).Floats("blk.0.attn_k.weight", [4, 4], Rows(4, 4)).Floats("blk.0.attn_v.weight", [4, 4], Rows(4, 4))
            .Floats("blk.0.attn_output.weight", [4, 8], Rows(4, 8)).Floats("blk.0.ffn_norm.weight", [4], Rows(1, 4))
            .Floats("blk.0.ffn_gate.weight", [2, 4], Rows(2, 4)).Floats("blk.0.ffn_up.weight", [2, 4], Rows(2, 4)).Floats("blk.0.ffn_down.weight", [4, 2], Rows(4, 2));
        if (name == "qwen2")
        {
            _ = builder.Floats("blk.0.attn_q.bias", [8], Rows(8, 1)).Floats("blk.0.attn_k.bias", [4], Rows(4, 1)).Floats("blk.0.attn_v.bias", [4], Rows(4, 1));
        }

        return builder.Floats("output_norm.weight", [4], Rows(1, 4));
    }

    private static float[] Rows(int rows, int width) => [.. Enumerable.Range(0, rows * width).Select(i => (i / width) + (0.125f * (i % width)))];

    private GgufCheckpoint Open(GgufBuilder builder)
    {
        string path = Path.Combine(_folder, "a.gguf");
        File.WriteAllBytes(path, builder.Build());
        return GgufCheckpoint.Open(path);
    }

    [Test]
    public void Rows_of_q_and_k_of_llama_come_back_in_halves()
    {
        using GgufCheckpoint checkpoint = Open(Tiny("llama"));
        float[] q = checkpoint.ReadFloats("model.layers.0.self_attn.q_proj.weight");
        Assert.That(Enumerable.Range(0, 8).Select(r => q[4 * r]), Is.EqualTo(new float[] { 0, 2, 1, 3, 4, 6, 5, 7 }));
        Assert.That(q[5], Is.EqualTo(2.125f));
        float[] part = new float[6];
        checkpoint.Read("model.layers.0.self_attn.q_proj.weight", 3, part.AsSpan());
        Assert.That(part, Is.EqualTo(q[3..9]));
        BFloat16[] rounded = new BFloat16[32];
        checkpoint.Read("model.layers.0.self_attn.q_proj.weight", rounded);
        Assert.That(rounded.Select(v => (float)v), Is.EqualTo(q));
        Assert.That(checkpoint.ReadArray<float>("model.layers.0.self_attn.q_proj.weight"), Is.EqualTo(q));
        float[] v = checkpoint.ReadFloats("model.layers.0.self_attn.v_proj.weight");
        Assert.That(Enumerable.Range(0, 4).Select(r => v[4 * r]), Is.EqualTo(new float[] { 0, 1, 2, 3 }));
    }

    [TestCase("qwen2")]
    [TestCase("qwen3")]
    public void Rows_of_q_and_k_of_qwen_stay(string name)
    {
        using GgufCheckpoint checkpoint = Open(Tiny(name));
        float[] q = checkpoint.ReadFloats("model.layers.0.self_attn.q_proj.weight");
        Assert.That(Enumerable.Range(0, 8).Select(r => q[4 * r]), Is.EqualTo(new float[] { 0, 1, 2, 3, 4, 5, 6, 7 }));
        LlamaConfig config = LlamaConfig.Parse(checkpoint.Config.Root, "f");
        Assert.That((config.ModelType, config.QkvBias, config.QkNorm), Is.EqualTo((name, name == "qwen2", name == "qwen3")));
        Assert.That(checkpoint.Tensors.ContainsKey("model.layers.0.self_attn.k_proj.bias"), Is.EqualTo(name == "qwen2"));
    }

    [Test]
    public void Config_vocabulary_and_template_come_from_the_metadata()
    {
        using GgufCheckpoint checkpoint = Open(Tiny("llama"));
        LlamaConfig config = LlamaConfig.Parse(checkpoint.Config.Root, "f");
        Assert.That((config.NumHiddenLayers, config.HeadDim, config.NumKeyValueHeads, config.VocabSize, config.TieWordEmbeddings), Is.EqualTo((1, 4, 1, 3, true)));
        Assert.That(config.Rope, Is.EqualTo(new RopeParameters(10000)));
        Assert.That(config.EosTokenIds, Is.EqualTo(new ValueList<int>([2])));
        GgufVocabulary vocabulary = checkpoint.Vocabulary!;
        Assert.That((vocabulary.Model, vocabulary.Eos, vocabulary.Bos, vocabulary.Scores), Is.EqualTo(("gpt2", (int?)2, (int?)null, (IReadOnlyList<float>?)null)));
        Assert.That(vocabulary.Tokens, Is.EqualTo(new[] { "a", "b", "c" }));
        Assert.That(vocabulary.Merges, Is.EqualTo(new[] { "a b" }));
        Assert.That(checkpoint.ChatTemplate, Is.EqualTo("{{ messages }}"));
    }

    [Test]
    public void Rotary_divisors_of_Llama_3_become_its_settings_and_others_are_refused()
    {
        GgufBuilder builder = Tiny("llama").Add("llama.rope.freq_base", 500000f).Add("llama.rope.scaling.original_context_length", 32u);
        using (GgufCheckpoint checkpoint = Open(builder.Floats("rope_freqs.weight", [2], 1f, 8f)))
        {
            Assert.That(LlamaConfig.Parse(checkpoint.Config.Root, "f").Rope, Is.EqualTo(new RopeParameters(500000, RopeType.Llama3, 8, 1, 4, 32)));
            Assert.That(checkpoint.Tensors.Keys, Has.None.Contains("rope"));
        }

        Assert.That(() => Open(Tiny("llama").Floats("rope_freqs.weight", [2], 3f, 8f)), Throws.TypeOf<CheckpointException>().With.Message.Contains("rope_freqs"));
        using GgufCheckpoint linear = Open(Tiny("llama").Add("llama.rope.scaling.type", "linear").Add("llama.rope.scaling.factor", 4f));
        Assert.That(LlamaConfig.Parse(linear.Config.Root, "f").Rope, Is.EqualTo(new RopeParameters(10000, RopeType.Linear, 4)));
    }

    [Test]
    public void What_is_not_implemented_is_refused_by_name()
    {
        Assert.That(() => Open(Tiny("mamba")), Throws.TypeOf<CheckpointException>().With.Message.Contains("'mamba'").And.Message.Contains("llama, qwen2, qwen3"));
        Assert.That(() => Open(Tiny("llama").Add("llama.expert_count", 8u)), Throws.TypeOf<CheckpointException>().With.Message.Contains("llama.expert_count"));
        Assert.That(() => Open(Tiny("llama").Add("llama.rope.scaling.type", "yarn")), Throws.TypeOf<CheckpointException>().With.Message.Contains("yarn"));
        Assert.That(() => Open(Tiny("llama").Add("llama.rope.dimension_count", 2u)), Throws.TypeOf<CheckpointException>().With.Message.Contains("dimension_count"));
        Assert.That(() => Open(Tiny("llama").Floats("blk.0.strange.weight", [1], 1)), Throws.TypeOf<CheckpointException>().With.Message.Contains("blk.0.strange.weight"));
    }
}
