using Graft.Models.Adapters;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>What is special to one method.</summary>
public sealed class AdapterMethodTests
{
    private static readonly ModulePattern s_both = ModulePattern.Of("up", "down");

    [Test]
    public void Allora_at_zero_multiplies_the_gradient_of_B_by_eta()
    {
        (float[] ax, float[] a, float[] b) = Gradients(new AlloraConfig { Rank = 4, Eta = 2 }, disturb: false);
        (float[] lx, float[] _, float[] lb) = Gradients(new LoraConfig { Rank = 4, Alpha = 4 }, disturb: false);
        Assert.That(a, Is.All.Zero);
        Closeness.AssertClose("dB", b, Array.ConvertAll(lb, v => 2 * v), 1e-6);
        Closeness.AssertClose("dx", ax, lx, 1e-6);
    }

    [Test]
    public void Allora_scales_rows_of_dB_and_leaves_dx()
    {
        const float Eta = 1.5f;
        (float[] ax, float[] a, float[] b) = Gradients(new AlloraConfig { Rank = 4, Eta = Eta }, disturb: true);
        (float[] lx, float[] la, float[] lb) = Gradients(new LoraConfig { Rank = 4, Alpha = 4 }, disturb: true);
        Closeness.AssertClose("dx", ax, lx, 1e-5);
        Assert.That(a, Is.Not.EqualTo(la));
        using ToyModel toy = new();
        AttachedAdapter adapter = toy.Host.Attach("a", new LoraConfig { TargetModules = ModulePattern.Of("up"), Rank = 4, Alpha = 4 }, new Rng(1));
        ToyModel.Disturb(adapter);
        double[] factors = RowFactors(adapter, Eta);
        float[] expected = new float[lb.Length];
        for (int i = 0; i < lb.Length; i++)
        {
            expected[i] = (float)(lb[i] * factors[i / 4]);
        }

        Closeness.AssertClose("dB", b, expected, 1e-5);
    }

    [Test]
    public void Allora_by_learning_rate_has_the_gradients_of_lora_and_a_factor_per_row()
    {
        using ToyModel toy = new();
        AttachedAdapter adapter = toy.Host.Attach("a",
            new AlloraConfig { TargetModules = ModulePattern.Of("up"), Rank = 4, Eta = 1.5f, Mode = AlloraMode.LearningRate }, new Rng(1));
        ToyModel.Disturb(adapter);
        AdapterParameter b = adapter.Parameters.Single(p => p.Role == AdapterRole.Up);
        Assert.That(adapter.Parameters.Single(p => p.Role == AdapterRole.Down).UpdateScale, Is.Null);
        using Scope scope = adapter.Arena.Enter("scale");
        float[] factors = b.UpdateScale!(Tape.None(adapter.Arena)).ToArray<float>();
        Closeness.AssertClose("factors", factors, Array.ConvertAll(RowFactors(adapter, 1.5f), v => (float)v), 1e-6);
    }

    [TestCase(0f)]
    [TestCase(float.PositiveInfinity)]
    [TestCase(float.NaN)]
    public void Allora_refuses_an_eta_that_divides_by_zero(float eta)
    {
        using ToyModel toy = new();
        Assert.That(() => toy.Host.Attach("a", new AlloraConfig { TargetModules = s_both, Eta = eta }, new Rng(1)),
            Throws.TypeOf<ConfigurationException>().With.Message.Contains("eta"));
        Assert.That(toy.Host.Adapters, Is.Empty);
    }

    [Test]
    public void Dora_rows_have_the_trained_lengths_and_its_gradient_keeps_the_norm_constant()
    {
        using ToyModel toy = new();
        AttachedAdapter adapter = toy.Host.Attach("a", new DoraConfig { TargetModules = ModulePattern.Of("up"), Rank = 4 }, new Rng(1));
        ToyModel.Disturb(adapter);
        float[] magnitude = adapter.Parameters.Single(p => p.Role == AdapterRole.Magnitude).Value.ToArray<float>();
        (double[,] direction, double[] norms) = Direction(toy, adapter);
        toy.Host.Merge(["a"]);
        float[] merged = toy.Up.Weight.Parameter!.Value.ToArray<float>();
        for (int i = 0; i < ToyModel.Hidden; i++)
        {
            double length = Math.Sqrt(Enumerable.Range(0, ToyModel.In).Sum(j => (double)merged[(i * ToyModel.In) + j] * merged[(i * ToyModel.In) + j]));
            Assert.That(length, Is.EqualTo(Math.Abs(magnitude[i])).Within(1e-5 * Math.Abs(magnitude[i])));
        }

        toy.Host.Unmerge();

        // The function in which the norms are numbers: a LoRA scaled row by row, so dB = s·c⊙Gᵀ·u. Its finite difference needs no norm.
        _ = toy.Backward("a");
        AdapterParameter b = adapter.Parameters.Single(p => p.Role == AdapterRole.Up);
        float[] gradient = b.Parameter.Gradient!.ToArray<float>();
        double tolerance = 2e-3 * gradient.Max(g => Math.Abs((double)g));
        for (int i = 0; i < gradient.Length; i += 13)
        {
            Assert.That(gradient[i], Is.EqualTo(WithConstantNorm(toy, adapter, direction, norms, magnitude, i)).Within(tolerance), $"dB[{i}]");
        }
    }

    [TestCase(false)]
    [TestCase(true, Category = "CudaEmulator")]
    public void Dora_finds_the_norm_of_rows_that_the_update_cancels(bool cuda)
    {
        using ToyModel toy = new(device: cuda ? CudaTestDevice.Open() : new CpuDevice(2));
        AttachedAdapter adapter = toy.Host.Attach("a",
            new DoraConfig { TargetModules = ModulePattern.Of("up"), Rank = ToyModel.In, Alpha = ToyModel.In }, new Rng(1));
        float[] weight = toy.Up.Weight.Parameter!.Value.ToArray<float>();
        float[] a = new float[ToyModel.In * ToyModel.In];
        float[] b = new float[weight.Length];
        for (int k = 0; k < ToyModel.In; k++)
        {
            a[(k * ToyModel.In) + k] = 1;
        }

        for (int i = 0; i < b.Length; i++)
        {
            b[i] = -weight[i] * (1 - 1e-5f); // V = 1e-5·W0: the three terms of the factored norm cancel to rounding
        }

        adapter.Parameters.Single(p => p.Role == AdapterRole.Down).Value.CopyFrom<float>(a);
        adapter.Parameters.Single(p => p.Role == AdapterRole.Up).Value.CopyFrom<float>(b);
        toy.Host.Refresh("a");
        float[] attached = toy.Forward("a");
        Assert.That(attached, Is.All.Matches<float>(float.IsFinite));
        toy.Host.Merge(["a"]);
        Closeness.AssertClose("merged", toy.Forward(), attached, 1e-2);
    }

    [Test]
    public void Dora_sees_a_base_that_others_have_changed()
    {
        using ToyModel toy = new();
        ToyModel.Disturb(toy.Host.Attach("lora", new LoraConfig { TargetModules = s_both, Rank = 2 }, new Rng(2)));
        AttachedAdapter dora = toy.Host.Attach("dora", new DoraConfig { TargetModules = s_both, Rank = 2 }, new Rng(1));
        ToyModel.Disturb(dora);
        float[] before = toy.Forward("dora");
        toy.Host.Merge(["lora"]);
        float[] attached = toy.Forward("dora");
        using TemporaryFolder folder = new();
        toy.Host.Unmerge();
        Assert.That(toy.Forward("dora"), Is.EqualTo(before));

        // The same by a host that never saw the base before the merge.
        toy.Host.Save("dora", folder.Path);
        toy.Host.Detach("dora");
        toy.Host.Merge(["lora"]);
        float[] up = toy.Up.Weight.Parameter!.Value.ToArray<float>();
        float[] down = toy.Down.Weight.Parameter!.Value.ToArray<float>();
        using ToyModel fresh = new();
        fresh.Up.Weight.Parameter!.Value.CopyFrom<float>(up);
        fresh.Down.Weight.Parameter!.Value.CopyFrom<float>(down);
        _ = fresh.Host.Load(folder.Path, "dora");
        Assert.That(attached, Is.EqualTo(fresh.Forward("dora")));
    }

    [Test]
    public void Dora_on_a_row_of_zeros_gives_numbers()
    {
        using ToyModel toy = new();
        toy.Up.Weight.Parameter!.Value.AsSpan<float>()[..ToyModel.In].Clear();
        float[] plain = toy.Forward();
        _ = toy.Host.Attach("a", new DoraConfig { TargetModules = s_both, Rank = 2 }, new Rng(1));
        Closeness.AssertClose("start", toy.Forward("a"), plain, 1e-5);
    }

    [Test]
    public void Vera_keeps_one_pair_for_all_layers()
    {
        using ToyModel toy = new();
        AttachedAdapter adapter = toy.Host.Attach("a", new VeraConfig { TargetModules = s_both, Rank = 6 }, new Rng(1));
        AdapterParameter[] shared = [.. adapter.Parameters.Where(p => p.Role == AdapterRole.Projection)];
        Assert.That(shared.Select(p => (p.Key, p.Value.Shape)),
            Is.EqualTo(new[] { ("vera_A", new Shape(6, ToyModel.Hidden)), ("vera_B", new Shape(ToyModel.Hidden, 6)) }));
        Assert.That(shared.Select(p => p.Parameter.Trainable), Is.All.False);
        float bound = (float)Math.Sqrt(6.0 / ToyModel.Hidden);
        Assert.That(shared[0].Value.ToArray<float>(), Is.All.InRange(-bound, bound));
        toy.Host.SetTrainable("a", true);
        Assert.That(shared.Select(p => p.Parameter.Trainable), Is.All.False, "frozen by the method");
        Assert.That(() => toy.Host.Attach("b", new VeraConfig { TargetModules = s_both, Rank = 6, RankPattern = new PatternTable(("up", 3)) }, new Rng(1)),
            Throws.TypeOf<ConfigurationException>().With.Message.Contains("share"));
    }

    // (dx, dA, dB) of one layer.
    private static (float[] X, float[] A, float[] B) Gradients(AdapterConfig config, bool disturb)
    {
        using ToyModel toy = new();
        AttachedAdapter adapter = toy.Host.Attach("a", config with { TargetModules = ModulePattern.Of("up") }, new Rng(1));
        if (disturb)
        {
            ToyModel.Disturb(adapter);
        }

        float[] x = toy.Backward("a");
        return (x, adapter.Parameters[0].Parameter.Gradient!.ToArray<float>(), adapter.Parameters[1].Parameter.Gradient!.ToArray<float>());
    }

    // 1 / √(||(B·A)_i|| + 1/η²) by its definition.
    private static double[] RowFactors(AttachedAdapter adapter, double eta)
    {
        float[] a = adapter.Parameters[0].Value.ToArray<float>();
        float[] b = adapter.Parameters[1].Value.ToArray<float>();
        int rank = adapter.Parameters[0].Value.Shape[0];
        int inputs = adapter.Parameters[0].Value.Shape[1];
        double[] factors = new double[b.Length / rank];
        for (int i = 0; i < factors.Length; i++)
        {
            double squares = 0;
            for (int j = 0; j < inputs; j++)
            {
                double sum = 0;
                for (int k = 0; k < rank; k++)
                {
                    sum += (double)b[(i * rank) + k] * a[(k * inputs) + j];
                }

                squares += sum * sum;
            }

            factors[i] = 1 / Math.Sqrt(Math.Sqrt(squares) + (1 / (eta * eta)));
        }

        return factors;
    }

    // W0 + s·B·A and its row norms, in F64.
    private static (double[,] V, double[] Norms) Direction(ToyModel toy, AttachedAdapter adapter)
    {
        float[] weight = toy.Up.Weight.Parameter!.Value.ToArray<float>();
        float[] a = adapter.Parameters[0].Value.ToArray<float>();
        float[] b = adapter.Parameters[1].Value.ToArray<float>();
        int rank = adapter.Config.Rank;
        double scale = adapter.Config.Alpha / rank;
        double[,] v = new double[ToyModel.Hidden, ToyModel.In];
        double[] norms = new double[ToyModel.Hidden];
        for (int i = 0; i < ToyModel.Hidden; i++)
        {
            for (int j = 0; j < ToyModel.In; j++)
            {
                double sum = 0;
                for (int k = 0; k < rank; k++)
                {
                    sum += (double)b[(i * rank) + k] * a[(k * ToyModel.In) + j];
                }

                v[i, j] = weight[(i * ToyModel.In) + j] + (scale * sum);
                norms[i] += v[i, j] * v[i, j];
            }

            norms[i] = Math.Sqrt(norms[i]);
        }

        return (v, norms);
    }

    // Central difference of the objective when B[i] moves and the norms stay: the merged weight of that function put into the base.
    private static double WithConstantNorm(ToyModel toy, AttachedAdapter adapter, double[,] direction, double[] norms, float[] magnitude, int i)
    {
        const double Step = 3e-3;
        int rank = adapter.Config.Rank;
        float[] a = adapter.Parameters[0].Value.ToArray<float>();
        float[] kept = toy.Up.Weight.Parameter!.Value.ToArray<float>();
        double[] objective = new double[2];
        for (int side = 0; side < 2; side++)
        {
            float[] effective = new float[kept.Length];
            for (int row = 0; row < ToyModel.Hidden; row++)
            {
                for (int j = 0; j < ToyModel.In; j++)
                {
                    double moved = row == i / rank ? adapter.Config.Alpha / rank * (side == 0 ? Step : -Step) * a[(i % rank * ToyModel.In) + j] : 0;
                    effective[(row * ToyModel.In) + j] = (float)(magnitude[row] / norms[row] * (direction[row, j] + moved));
                }
            }

            toy.Up.Weight.Parameter!.Value.CopyFrom<float>(effective);
            objective[side] = toy.Objective();
        }

        toy.Up.Weight.Parameter!.Value.CopyFrom<float>(kept);
        return (objective[0] - objective[1]) / (2 * Step);
    }
}
