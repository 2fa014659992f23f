using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Optimizers;

public class ParameterSetTests
{
    private static readonly int[] s_lengths = [10, 33, 5];

    [Test]
    public void Values_gradients_and_slots_lie_in_blocks_and_are_accounted_for()
    {
        using Bench bench = new(1, s_lengths);
        _ = new Optimizer(bench.Set, new AdamW(), 0.1);
        MemoryUse use = bench.Arena.Report().Current;
        Assert.Multiple(() =>
        {
            Assert.That(bench.Set.Active.Select(e => e.Offset), Is.EqualTo(new[] { 0, 16, 64 }));
            Assert.That(bench.Set.TrainedElements, Is.EqualTo(48));
            Assert.That(use[MemoryCategory.Weights], Is.EqualTo(80 * 4), "what values left was given back");
            Assert.That(use[MemoryCategory.Gradients], Is.EqualTo(80 * 4));
            Assert.That(use[MemoryCategory.Optimizer], Is.EqualTo(2 * 80 * 4));
            Assert.That(bench.Values(1), Is.EqualTo(bench.Start[1]));
        });
        bench.Set.Dispose();
        Assert.That(bench.Arena.Report().Current.Total, Is.EqualTo(80 * 4), "training's memory is given back, values stay");
        Assert.That(bench.Parameters[2].Value.ToArray<float>(), Is.EqualTo(bench.Start[2]));
    }

    [Test]
    public void On_meta_the_same_bytes_are_accounted_for()
    {
        using Bench bench = new(1, s_lengths, dtype: DType.BF16);
        _ = new Optimizer(bench.Set, new AdamW(), 0.1);
        using MetaDevice meta = new();
        using Arena arena = new(meta, "plan");
        List<Parameter> parameters =
            [.. s_lengths.Select((n, i) => new Parameter("p" + i, arena.Allocate(new Shape(n), DType.BF16, MemoryCategory.Weights), trainable: true))];
        using ParameterSet set = new(parameters, arena);
        Optimizer optimizer = new(set, new AdamW(), 0.1);
        foreach (Parameter parameter in parameters)
        {
            _ = parameter.GradientTarget(out _);
        }

        _ = GradientClipping.ByNorm(1, NormOrder.L2, set);
        optimizer.Update();
        set.Activate(e => e.Id != 1, StatePolicy.Keep);
        bench.Set.Activate(e => e.Id != 1, StatePolicy.Keep);
        Assert.That(arena.Report().Current, Is.EqualTo(bench.Arena.Report().Current));
        Assert.That(arena.Report().Peak, Is.EqualTo(bench.Arena.Report().Peak));
    }

    [Test]
    public void Sixteen_bit_values_follow_their_masters()
    {
        using Bench bench = new(1, s_lengths, dtype: DType.BF16);
        Optimizer optimizer = new(bench.Set, new Sgd(), 1);
        for (int t = 0; t < 64; t++)
        {
            // Far below half a step of BF16: only the master can add it up.
            bench.Give(_ => 1e-3f);
            optimizer.Update();
        }

        float[] low = Array.ConvertAll(bench.Parameters[0].Value.ToArray<BFloat16>(), v => (float)v);
        for (int i = 0; i < low.Length; i++)
        {
            Assert.That(low[i], Is.EqualTo((float)(BFloat16)bench.Values(0)[i]));
            Assert.That(low[i], Is.EqualTo((float)(BFloat16)bench.Start[0][i] - 0.064).Within(0.01));
        }
    }

    [TestCase(StatePolicy.Drop, 0, 2)]
    [TestCase(StatePolicy.Keep, 1, 2)]
    [TestCase(StatePolicy.Reset, 0, 1)]
    public void State_is_dropped_kept_or_reset_when_the_trained_set_changes(StatePolicy policy, int stepsOfFrozen, int stepsOfTrained)
    {
        using Bench bench = new(1, s_lengths);
        Optimizer optimizer = new(bench.Set, new AdamW(), 0.1);
        bench.Give(i => 1 + i);
        optimizer.Update();
        float[] momentum = bench.Set.All[1].Slots[0].ToArray<float>();
        float[] frozen = bench.Values(1);

        bench.Set.Activate(e => e.Id != 1, policy);
        Assert.That(bench.Parameters[1].Trainable, Is.False);
        bench.Give(i => -i);
        optimizer.Update();
        Assert.That(bench.Parameters[1].Value.ToArray<float>(), Is.EqualTo(frozen), "frozen means bit-identical");
        Assert.That(bench.Set.All[0].Steps, Is.EqualTo(stepsOfTrained));

        bench.Set.Activate(static _ => true, policy);
        Assert.Multiple(() =>
        {
            Assert.That(bench.Set.All[1].Steps, Is.EqualTo(stepsOfFrozen));
            Assert.That(bench.Set.All[1].Slots[0].ToArray<float>(), Is.EqualTo(policy == StatePolicy.Keep ? momentum : new float[33]));
            Assert.That(bench.Values(1), Is.EqualTo(frozen));
        });
    }

    [Test]
    public void A_parameter_frozen_from_outside_is_noticed()
    {
        using Bench bench = new(1, s_lengths);
        _ = new Optimizer(bench.Set, new AdamW(), 0.1);
        bench.Parameters[1].Trainable = false;
        bench.Set.Refresh();
        Assert.That(bench.Set.Active.Select(e => e.Id), Is.EqualTo(new[] { 0, 2 }));
        bench.Parameters[1].Trainable = true;
        bench.Set.Refresh();
        Assert.That(bench.Set.Active.Select(e => e.Id), Is.EqualTo(new[] { 0, 1, 2 }));
        Assert.That(bench.Values(1), Is.EqualTo(bench.Start[1]));
    }

    [Test]
    public void Another_list_of_parameters_keeps_the_state_of_what_stays()
    {
        using Bench bench = new(1, s_lengths);
        Optimizer optimizer = new(bench.Set, new AdamW(), 0.1);
        bench.Give(i => 1 + i);
        optimizer.Update();
        float[] momentum = bench.Set.All[2].Slots[0].ToArray<float>();
        float[] values = bench.Values(2);
        float[] gone = bench.Values(0);
        Parameter grown = new("grown", bench.Arena.Zeros(new Shape(3, 7), DType.F32, MemoryCategory.Weights), trainable: true);
        bench.Set.Replace([bench.Parameters[1], bench.Parameters[2], grown]);
        Assert.Multiple(() =>
        {
            Assert.That(bench.Set.Active.Select(e => (e.Name, e.Id, e.Steps)), Is.EqualTo(new[] { ("p1", 1, 1L), ("p2", 2, 1L), ("grown", 3, 0L) }));
            Assert.That(bench.Set.Find("p2")!.Slots[0].ToArray<float>(), Is.EqualTo(momentum));
            Assert.That(bench.Parameters[2].Value.ToArray<float>(), Is.EqualTo(values));
            Assert.That(bench.Parameters[0].Value.ToArray<float>(), Is.EqualTo(gone), "what is gone keeps its values");
            Assert.That(grown.Gradient, Is.Not.Null);
        });
        bench.Give(_ => 1);
        optimizer.Update();
        Assert.That(grown.Value.ToArray<float>(), Is.All.EqualTo(-0.1f).Within(1e-6));
    }

    [Test]
    public void Switching_back_and_forth_leaks_nothing()
    {
        using Bench bench = new(1, s_lengths, dtype: DType.BF16);
        _ = new Optimizer(bench.Set, new AdamW(), 0.1);
        MemoryUse before = bench.Arena.Report().Current;
        for (int i = 0; i < 20; i++)
        {
            bench.Set.Activate(e => e.Id == i % 3, (StatePolicy)(i % 3));
        }

        bench.Set.Activate(static _ => true, StatePolicy.Reset);
        Assert.That(bench.Arena.Report().Current, Is.EqualTo(before));
    }

    [Test]
    public void Two_parameters_of_one_name_are_refused()
    {
        using MetaDevice meta = new();
        using Arena arena = new(meta, "plan");
        Parameter One() => new("same", arena.Allocate(new Shape(1), DType.F32, MemoryCategory.Weights), trainable: true);
        Assert.That(() => new ParameterSet([One(), One()], arena), Throws.TypeOf<ConfigurationException>().With.Message.Contains("same"));
    }

    [TestCase("model.layers.12.self_attn.q_proj.weight", 12, ParameterRole.Attention, "q_proj", "")]
    [TestCase("model.layers.3.post_attention_layernorm.weight", 3, ParameterRole.Norm, "post_attention_layernorm", "")]
    [TestCase("model.embed_tokens.weight", -1, ParameterRole.Embedding, "embed_tokens", "")]
    [TestCase("lm_head.weight", -1, ParameterRole.Head, "lm_head", "")]
    [TestCase("transformer.h.0.mlp.c_fc.bias", 0, ParameterRole.Bias, "c_fc", "")]
    [TestCase("default/model.layers.1.mlp.up_proj.lora_B.weight", 1, ParameterRole.FeedForward, "up_proj", "lora_B")]
    [TestCase("a/model.layers.2.self_attn.v_proj.vera_lambda_b", 2, ParameterRole.Attention, "v_proj", "vera_lambda_b")]
    [TestCase("model.layers.1.mlp.up_proj.lora_B.weight", 1, ParameterRole.FeedForward, "up_proj", "lora_B")]
    public void Tags_are_read_off_names(string name, int layer, ParameterRole role, string module, string adapter)
    {
        Assert.That(ParameterTags.Of(name), Is.EqualTo(new ParameterTags(layer, role, module, adapter)));
    }
}
