using Graft.Runtime;
using Graft.Training.Checkpoints;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Optimizers;

public class OptimizerTests
{
    [Test]
    public void Defaults_are_those_of_PyTorch()
    {
        AdamW expected = new(0.9, 0.999, 1e-8, 0.01)
        {
            AmsGrad = false,
            Maximize = false,
            Decay = DecayPlacement.BeforeUpdate,
            EpsilonAt = EpsilonPlacement.AfterCorrection,
        };
        Assert.That(new AdamW(), Is.EqualTo(expected));
        Assert.That(AdamW.Adam.WeightDecay, Is.Zero);
        Assert.That(new Sgd(), Is.EqualTo(new Sgd(0, 0, 0) { Nesterov = false, Maximize = false }));
    }

    [Test]
    public void AdamW_follows_its_definition_for_twenty_steps()
    {
        const int N = 40_003; // more than one chunk, and a rest that fills no vector
        const double LearningRate = 1e-2, Beta1 = 0.9, Beta2 = 0.999, Epsilon = 1e-8, Decay = 0.1;
        using Bench bench = new(3, [N]);
        Optimizer optimizer = new(bench.Set, new AdamW(WeightDecay: Decay), LearningRate);
        double[] p = Array.ConvertAll(bench.Start[0], v => (double)v), m = new double[N], v = new double[N];
        float[] g = new float[N];
        for (int step = 1; step <= 20; step++)
        {
            new Rng(2).At(step).FillNormal(0, g);
            bench.Give(i => g[i]);
            optimizer.Update();
            for (int i = 0; i < N; i++)
            {
                p[i] *= 1 - (LearningRate * Decay);
                m[i] = (Beta1 * m[i]) + ((1 - Beta1) * g[i]);
                v[i] = (Beta2 * v[i]) + ((1 - Beta2) * g[i] * g[i]);
                p[i] -= LearningRate / (1 - Math.Pow(Beta1, step)) * m[i] / ((Math.Sqrt(v[i]) / Math.Sqrt(1 - Math.Pow(Beta2, step))) + Epsilon);
            }
        }

        float[] values = bench.Values(0);
        double worst = p.Zip(values, (truth, value) => Math.Abs(value - truth) / Math.Max(1, Math.Abs(truth))).Max();
        Assert.That(worst, Is.LessThan(2e-6));
    }

    [Test]
    public void A_constant_gradient_moves_by_the_same_amount_every_step()
    {
        using Bench bench = new(1, [5]);
        Optimizer optimizer = new(bench.Set, new AdamW(WeightDecay: 0), 0.01);
        for (int t = 0; t < 50; t++)
        {
            bench.Give(_ => 0.25f);
            optimizer.Update();
        }

        // m / (1 - β1^t) = g and v / (1 - β2^t) = g² at every t.
        double expected = bench.Start[0][3] - (50 * 0.01 * 0.25 / (0.25 + 1e-8));
        Assert.That(bench.Values(0)[3], Is.EqualTo(expected).Within(2e-5));
    }

    [Test]
    public void Without_a_gradient_decay_alone_acts()
    {
        using Bench bench = new(1, [3]);
        Optimizer optimizer = new(bench.Set, new AdamW(WeightDecay: 0.5), 0.1);
        for (int t = 0; t < 10; t++)
        {
            bench.Give(_ => 0);
            optimizer.Update();
        }

        Assert.That(bench.Values(0)[1], Is.EqualTo(bench.Start[0][1] * Math.Pow(0.95, 10)).Within(1e-6));
    }

    [Test]
    public void The_older_AdamW_is_the_same_without_epsilon_and_decay()
    {
        using Bench one = new(1, [1000]);
        using Bench other = new(1, [1000]);
        Optimizer first = new(one.Set, new AdamW(Epsilon: 0, WeightDecay: 0), 1e-2);
        Optimizer second = new(other.Set, AdamW.Legacy with { Epsilon = 0, WeightDecay = 0 }, 1e-2);
        for (int t = 0; t < 10; t++)
        {
            one.Give(i => MathF.Sin((i * 3) + t) + 2);
            other.Give(i => MathF.Sin((i * 3) + t) + 2);
            first.Update();
            second.Update();
        }

        Assert.That(one.Values(0), Is.EqualTo(other.Values(0)).Within(1e-6));
        Assert.That(one.Values(0), Is.Not.EqualTo(one.Start[0]).Within(1e-3));
    }

    [Test]
    public void A_parameter_without_a_gradient_is_left_alone_and_counts_no_step()
    {
        using Bench bench = new(1, [4, 6]);
        Optimizer optimizer = new(bench.Set, new AdamW(), 0.1);
        bench.Give(_ => 1);
        bench.Parameters[1].ClearGradient();
        optimizer.Update();
        Assert.That(bench.Values(1), Is.EqualTo(bench.Start[1]));
        Assert.That(bench.Set.All.Select(e => e.Steps), Is.EqualTo(new[] { 1L, 0L }));
        Assert.That(bench.Set.WithoutGradient(), Is.EqualTo(new[] { "p1" }));
    }

    [TestCase(ValueLayout.Flat)]
    [TestCase(ValueLayout.InPlace)]
    public void Layout_and_threads_change_no_bit(ValueLayout layout)
    {
        float[][] expected = Trajectory(1, ValueLayout.Flat);
        Assert.That(Trajectory(2, layout), Is.EqualTo(expected));
        Assert.That(Trajectory(3, layout), Is.EqualTo(expected));
    }

    [Test]
    public void Frozen_elements_keep_their_bits_and_their_state_is_zero()
    {
        using Bench bench = new(2, [70_001]);
        Optimizer optimizer = new(bench.Set, AdamW.Adam with { WeightDecay = 0.3 }, 0.1);
        byte[] mask = new byte[70_001];
        for (int i = 0; i < mask.Length; i++)
        {
            mask[i] = (byte)(i % 3 == 0 ? 1 : 0);
        }

        bench.Set.Freeze(bench.Set.All[0], mask);
        for (int t = 0; t < 3; t++)
        {
            bench.Give(i => MathF.Cos(i + t));
            _ = GradientClipping.ByNorm(1, NormOrder.L2, bench.Set);
            optimizer.Update();
        }

        float[] values = bench.Values(0);
        float[] slot = bench.Set.All[0].Slots[0].ToArray<float>();
        Assert.Multiple(() =>
        {
            int[] frozen = [.. Enumerable.Range(0, mask.Length).Where(i => mask[i] == 1)];
            int[] trained = [.. Enumerable.Range(0, mask.Length).Where(i => mask[i] == 0)];
            Assert.That(frozen.Where(i => !values[i].Equals(bench.Start[0][i]) || slot[i] != 0), Is.Empty);
            Assert.That(trained.Where(i => values[i] == bench.Start[0][i] || slot[i] == 0), Is.Empty);
        });
    }

    [Test]
    public void Resumed_after_any_step_gives_the_same_bits()
    {
        string folder = Path.Combine(TestContext.CurrentContext.WorkDirectory, Guid.NewGuid().ToString("N"));
        try
        {
            float[][] whole = Steps(0, 8, null, null);
            _ = Steps(0, 5, null, folder);
            Assert.That(Steps(5, 8, folder, null), Is.EqualTo(whole));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public void Groups_have_rates_decay_and_rules_of_their_own()
    {
        ParameterGroup fast = new("B", e => e.Name == "p1") { LearningRateFactor = 16, WeightDecay = 0, Rule = new Sgd() };
        using Bench bench = new(1, [4, 4], new ParameterSetOptions { Groups = [fast] });
        Optimizer optimizer = new(bench.Set, new Sgd(Momentum: 0.5, WeightDecay: 1), 0.01);
        bench.Give(_ => 1);
        optimizer.Update();
        Assert.Multiple(() =>
        {
            Assert.That(bench.Values(0)[0], Is.EqualTo(bench.Start[0][0] - (0.01f * (1 + bench.Start[0][0]))).Within(1e-7));
            Assert.That(bench.Values(1)[0], Is.EqualTo(bench.Start[1][0] - 0.16f).Within(1e-7));
            Assert.That(bench.Set.All[1].Slots, Is.Empty, "a rule without slots takes no memory");
        });
    }

    [Test]
    public void A_rule_that_sees_parameters_whole_updates_them_and_its_state()
    {
        using Bench bench = new(1, [4, 6]);
        Optimizer optimizer = new(bench.Set, new MeanRule(), 0.5);
        bench.Give(i => i % 2);
        optimizer.Update();
        optimizer.Update();
        Assert.That(bench.Values(0)[0], Is.EqualTo(bench.Start[0][0] - 0.5f).Within(1e-6));
        Assert.That(bench.Set.All[0].TensorState[0].ReadScalar(), Is.EqualTo(2));
    }

    [Test]
    public void A_scaled_update_gives_the_bits_of_scaling_first()
    {
        foreach (IOptimizerRule rule in (IOptimizerRule[])[new AdamW(), new Sgd(0.9), new Lion(), new MeanRule()])
        {
            using Bench one = new(2, [70_001, 7]), other = new(2, [70_001, 7]);
            Optimizer inPassing = new(one.Set, rule, 0.01), first = new(other.Set, rule, 0.01);
            one.Set.Freeze(one.Set.All[0], new byte[70_001]);
            for (int t = 0; t < 3; t++)
            {
                one.Give(i => MathF.Sin((i * 0.11f) + t) * 3);
                other.Give(i => MathF.Sin((i * 0.11f) + t) * 3);
                inPassing.Update(GradientClipping.Coefficient(0.5, GradientClipping.GlobalNorm(NormOrder.L2, one.Set)));
                _ = GradientClipping.ByNorm(0.5, NormOrder.L2, other.Set);
                first.Update();
            }

            Assert.That(one.Values(0), Is.EqualTo(other.Values(0)), rule.ToString());
            Assert.That(one.Values(1), Is.EqualTo(other.Values(1)), rule.ToString());
        }
    }

    private static float[][] Steps(int from, int to, string? load, string? save)
    {
        using Bench bench = new(2, [40_000, 17, 300]);
        Optimizer optimizer = new(bench.Set, new AdamW { AmsGrad = true }, 0.01, new CosineSchedule(2, 8));
        if (load is not null)
        {
            using RunCheckpoint checkpoint = RunCheckpoint.Open(load);
            using StateReader set = checkpoint.Section("parameters");
            using StateReader rule = checkpoint.Section("optimizer");
            bench.Set.Load(set);
            optimizer.Load(rule);
        }

        for (int t = from; t < to; t++)
        {
            bench.Give(i => MathF.Sin((i * 0.37f) + t));
            if (t % 3 == 1)
            {
                bench.Parameters[1].ClearGradient();
            }

            optimizer.Update();
        }

        if (save is not null)
        {
            StateWriter set = new("parameters");
            StateWriter rule = new("optimizer");
            bench.Set.Save(set);
            optimizer.Save(rule);
            RunCheckpoint.Write(save, optimizer.Step, null, [set, rule]);
        }

        return [.. Enumerable.Range(0, 3).Select(bench.Values)];
    }

    private static float[][] Trajectory(int threads, ValueLayout layout)
    {
        using Bench bench = new(threads, [100_003, 7, 0, 32_768, 65_537], new ParameterSetOptions { Layout = layout });
        Optimizer optimizer = new(bench.Set, new AdamW(), 0.01);
        for (int t = 0; t < 3; t++)
        {
            bench.Give(i => MathF.Sin((i * 0.11f) + t) * 3);
            _ = GradientClipping.ByNorm(0.5, NormOrder.L2, bench.Set);
            optimizer.Update();
        }

        return [.. Enumerable.Range(0, 5).Select(bench.Values)];
    }

    /// <summary>Subtracts lr · sign of the sum and counts.</summary>
    private sealed record MeanRule : ITensorUpdateRule
    {
        public double WeightDecay => 0;

        public IReadOnlyList<TensorSpec> StateOf(TensorSpec parameter) => [new TensorSpec(new Shape(1), DType.F32)];

        public void Update(TensorUpdateCall c)
        {
            c.State(0).AsSpan<float>()[0]++;
            float sum = 0;
            foreach (float g in c.Gradient.AsReadOnlySpan<float>())
            {
                sum += g;
            }

            foreach (ref float p in c.Parameter.AsSpan<float>())
            {
                p -= (float)(c.LearningRate * Math.Sign(sum) / 2);
            }
        }
    }
}
