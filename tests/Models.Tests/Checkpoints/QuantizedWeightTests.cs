using System.Runtime.InteropServices;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

/// <summary>A GGUF model whose weights stay quantised against the same model with weights unpacked to F32.</summary>
[TestFixture]
public sealed class QuantizedWeightTests
{
    private const int Width = 32, Feed = 64, Vocabulary = 40;
    private static readonly int[] s_ids = [3, 17, 0, 39, 21, 5];
    private readonly CpuDevice _device = new(2);
    private string _folder = null!;
    private string _path = null!;

    [OneTimeSetUp]
    public void Write()
    {
        _folder = Directory.CreateTempSubdirectory("graft-").FullName;
        _path = Path.Combine(_folder, "a.gguf");
        GgufBuilder file = new GgufBuilder()
            .Add("general.architecture", "llama").Add("llama.block_count", 1u).Add("llama.context_length", 64u).Add("llama.embedding_length", (uint)Width)
            .Add("llama.feed_forward_length", (uint)Feed).Add("llama.attention.head_count", 2u).Add("llama.attention.head_count_kv", 1u)
            .Add("llama.attention.layer_norm_rms_epsilon", 1e-5f)
            .Floats("blk.0.attn_norm.weight", [Width], Ones()).Floats("blk.0.ffn_norm.weight", [Width], Ones()).Floats("output_norm.weight", [Width], Ones());
        Add(file, "token_embd", BlockType.Q80, Vocabulary, Width);
        Add(file, "blk.0.attn_q", BlockType.Q41, Width, Width);
        Add(file, "blk.0.attn_k", BlockType.Q40, Width / 2, Width);
        Add(file, "blk.0.attn_v", BlockType.Q41, Width / 2, Width);
        Add(file, "blk.0.attn_output", BlockType.Q41, Width, Width);
        Add(file, "blk.0.ffn_gate", BlockType.Q41, Feed, Width);
        Add(file, "blk.0.ffn_up", BlockType.Q41, Feed, Width);
        Add(file, "blk.0.ffn_down", BlockType.Q41, Width, Feed);
        File.WriteAllBytes(_path, file.Build());
    }

    [OneTimeTearDown]
    public void Remove()
    {
        _device.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Test]
    public void Codes_unpack_to_what_the_file_reader_gives()
    {
        using PretrainedModel model = Load(_device, true);
        using GgufCheckpoint file = GgufCheckpoint.Open(_path);
        using Arena arena = new(_device, "test");
        Assert.That(model.Quantized.Select(q => q.Name), Does.Contain("model.embed_tokens.weight").And.Contain("model.layers.0.self_attn.q_proj.weight"));
        Assert.That(model.Quantized, Has.Count.EqualTo(8));
        foreach (QuantizedWeight weight in model.Quantized)
        {
            Assert.That(weight.Dense(Tape.None(arena)).ToArray<float>(), Is.EqualTo(file.ReadFloats(weight.Name)), weight.Name);
        }
    }

    [Test]
    public void Logits_of_one_token_and_of_many_agree_with_unpacked_weights([Values(1, 6)] int length)
    {
        Assert.That(Logits(true, length), Is.EqualTo(Logits(false, length)).Within(2e-5));
    }

    [Test]
    public void An_adapter_trains_on_it_as_on_unpacked_weights()
    {
        (float[] loss, float[][] gradients) = Gradients(true);
        (float[] expected, float[][] others) = Gradients(false);
        Assert.That(loss, Is.EqualTo(expected).Within(2e-5));
        Assert.That(gradients, Has.Length.EqualTo(others.Length).And.Length.GreaterThan(7));
        for (int i = 0; i < gradients.Length; i++)
        {
            Assert.That(gradients[i], Is.EqualTo(others[i]).Within(2e-5), $"parameter {i}");
        }
    }

    [Test]
    public void A_plan_takes_the_bytes_that_loading_takes()
    {
        using MetaDevice meta = new();
        using PretrainedModel planned = Load(meta, true), loaded = Load(_device, true);
        Assert.That(planned.Weights.Report().Current.Total, Is.EqualTo(loaded.Weights.Report().Current.Total));
    }

    [Test]
    public void What_needs_numbers_that_change_is_refused()
    {
        using PretrainedModel model = Load(_device, true);
        AdapterHost host = new(model.Model);
        _ = host.Attach("a", new LoraConfig { Rank = 2, TargetModules = ModulePattern.Of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj") }, new Rng(1));
        Assert.That(() => host.Merge(["a"]), Throws.TypeOf<NotMergeableException>().With.Message.Contains("quantised"));
        Assert.That(() => model.Model.Embeddings[0].Weight, Throws.TypeOf<ConfigurationException>().With.Message.Contains("embed_tokens"));
        Assert.That(() => model.Save(Path.Combine(_folder, "out")), Throws.TypeOf<ConfigurationException>().With.Message.Contains("quantised"));
        Assert.That(() => model.Model.Head.Weight.Store([]), Throws.TypeOf<ConfigurationException>());
    }

    private PretrainedModel Load(Device device, bool keep) => PretrainedModel.Load(_path, device, new LoadOptions { KeepQuantized = keep, Tokenizer = false });

    private float[] Logits(bool keep, int length)
    {
        using PretrainedModel model = Load(_device, keep);
        using Arena arena = new(_device, "test");
        ForwardContext c = new(Tape.None(arena), new TokenLayout(1, length, null, null, 0));
        return model.Model.Logits(c, arena.Create<int>(new Shape(1, length), s_ids.AsSpan(0, length), MemoryCategory.Activations)).ToArray<float>();
    }

    private (float[] Loss, float[][] Gradients) Gradients(bool keep)
    {
        using PretrainedModel model = Load(_device, keep);
        foreach (Parameter parameter in model.Model.Parameters)
        {
            parameter.Trainable = false;
        }

        AttachedAdapter adapter = new AdapterHost(model.Model).Attach("a", new LoraConfig { Rank = 2, TargetModules = ModulePattern.Of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj") }, new Rng(1));
        using Arena arena = new(_device, "test");
        using Tape tape = new(arena);
        ForwardContext c = new(tape, new TokenLayout(1, s_ids.Length, null, null, 0)) { Adapters = new ActiveAdapters("a") };
        Tensor logits = model.Model.Logits(c, arena.Create<int>(new Shape(1, s_ids.Length), s_ids, MemoryCategory.Activations));
        Tensor loss = tape.Mean(tape.CrossEntropy(logits, arena.Create<int>(new Shape(1, s_ids.Length), s_ids, MemoryCategory.Activations)));
        tape.Backward(loss);
        return (loss.ToArray<float>(), [.. adapter.Parameters.Select(p => p.Parameter.Gradient!.ToArray<float>())]);
    }

    private static float[] Ones() => [.. Enumerable.Repeat(1f, Width)];

    private static void Add(GgufBuilder file, string name, BlockType type, int rows, int columns)
    {
        Shape stored = type.Stored(rows, columns);
        byte[] bytes = new byte[stored.Count];
        Rng random = new Rng(5).Stream(name);
        for (int i = 0; i < bytes.Length; i++)
        {
            bytes[i] = (byte)random.Below(i, 256);
        }

        for (int at = 0; at < bytes.Length; at += type.BlockBytes())
        {
            Span<Half> halves = MemoryMarshal.Cast<byte, Half>(bytes.AsSpan(at, 4));
            halves[0] = (Half)((type == BlockType.Q80 ? 0.002 : 0.02) * (1 + (bytes[at] / 256.0)));
            if (type == BlockType.Q41)
            {
                halves[1] = (Half)(-0.2);
            }
        }

        uint id = type switch { BlockType.Q40 => 2, BlockType.Q41 => 3, _ => 8 };
        _ = file.Tensor(name + ".weight", [rows, columns], id, bytes);
    }
}
