using Graft.Models.Adapters;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>What every method of the table keeps, on two layers without any reference but the definitions.</summary>
public sealed class AdapterContractTests
{
    private static readonly ModulePattern s_both = ModulePattern.Of("up", "down");

    public static IEnumerable<TestCaseData> Methods()
    {
        yield return Method("lora", new LoraConfig { Rank = 4 }, exactStart: true, count: 4 * Widths);
        yield return Method("lora, scaled by the root of the rank", new LoraConfig { Rank = 3, Alpha = 5, RankStabilized = true }, exactStart: true,
            count: 3 * Widths);
        yield return Method("lora, normal start", new LoraConfig { Rank = 4, Initialization = LoraInitialization.Gaussian }, exactStart: true,
            count: 4 * Widths);
        yield return Method("lora, a rank above the widths", new LoraConfig { Rank = 50 }, exactStart: true, count: 50 * Widths);
        yield return Method("dora", new DoraConfig { Rank = 4 }, exactStart: false, count: (4 * Widths) + ToyModel.Hidden + ToyModel.Out);
        yield return Method("pissa", new PissaConfig { Rank = 4 }, exactStart: false, count: 4 * Widths);
        yield return Method("pissa, randomised", new PissaConfig { Rank = 4, Iterations = 6 }, exactStart: false, count: 4 * Widths);
        yield return Method("allora", new AlloraConfig { Rank = 4, Eta = 2 }, exactStart: true, count: 4 * Widths);
        yield return Method("allora, by learning rate", new AlloraConfig { Rank = 4, Mode = AlloraMode.LearningRate }, exactStart: true, count: 4 * Widths);
        yield return Method("vera", new VeraConfig { Rank = 12 }, exactStart: true, count: (2 * 12) + ToyModel.Hidden + ToyModel.Out);
        yield return Method("miss", new MissConfig { Rank = 8 }, exactStart: true, count: 8 * (ToyModel.Hidden + ToyModel.Out));
        yield return Method("miss, a rank that does not divide", new MissConfig { Rank = 7 }, exactStart: true, count: 7 * (ToyModel.Hidden + ToyModel.Out));
        yield return Method("miss, a rank above the input", new MissConfig { Rank = 41 }, exactStart: true, count: 41 * (ToyModel.Hidden + ToyModel.Out));
        yield return Method("miss, mini", new MissConfig { Rank = 8, Variant = MissVariant.Mini, MiniRank = 4 }, exactStart: true, count: 2 * 8 * 4);
        yield return Method("miss, affine", new MissConfig { Rank = 8, Variant = MissVariant.Affine }, exactStart: true,
            count: 8 * (ToyModel.Hidden + ToyModel.Out));
        yield return Method("bone", new BoneConfig { Rank = 8 }, exactStart: true, count: 8 * (ToyModel.Hidden + ToyModel.Out));
        yield return Method("bone, affine", new BoneConfig { Rank = 4, Variant = MissVariant.Affine }, exactStart: true,
            count: 4 * (ToyModel.Hidden + ToyModel.Out));
    }

    private const int Widths = ToyModel.In + ToyModel.Hidden + ToyModel.Hidden + ToyModel.Out;

    [TestCaseSource(nameof(Methods))]
    public void The_start_is_the_base(AdapterConfig config, bool exactStart, int count)
    {
        using ToyModel toy = new();
        float[] plain = toy.Forward();
        AttachedAdapter adapter = toy.Host.Attach("a", config, new Rng(1));
        Assert.That(adapter.TrainableCount, Is.EqualTo(count));
        float[] start = toy.Forward("a");
        if (exactStart)
        {
            Assert.That(start, Is.EqualTo(plain));
        }

        Closeness.AssertClose("start", start, plain, 3e-6);
        ToyModel.Disturb(adapter);
        Assert.That(toy.Forward("a"), Is.Not.EqualTo(start), "the adapter acts");
    }

    [TestCaseSource(nameof(Methods))]
    public void Merged_equals_attached_and_unmerging_restores_all_bits(AdapterConfig config, bool exactStart, int count)
    {
        foreach (DType type in new[] { DType.F32, DType.BF16 })
        {
            using ToyModel toy = new(type);
            AttachedAdapter adapter = toy.Host.Attach("a", config, new Rng(1));
            ToyModel.Disturb(adapter);
            float[] attached = toy.Forward("a");
            Dictionary<string, byte[]> before = toy.Bits();
            toy.Host.Merge(["a"]);
            Closeness.AssertClose($"merged, {type}", toy.Forward(), attached, type == DType.F32 ? 1e-5 : 0.03);
            Assert.That(toy.Host.MergedNames, Is.EqualTo(new[] { "a" }));
            toy.Host.Unmerge();
            Assert.That(toy.Bits(), Is.EqualTo(before));
            Assert.That(toy.Forward("a"), Is.EqualTo(attached));
        }

        Assert.That(exactStart || count > 0);
    }

    // DoRA counts the norm as a constant, ALLoRA scales on purpose: their own tests say how they differ.
    private static IEnumerable<TestCaseData> MethodsOfTheDerivative()
        => Methods().Where(m => m.Arguments[0] is not (DoraConfig or AlloraConfig { Mode: AlloraMode.Gradient }));

    [TestCaseSource(nameof(MethodsOfTheDerivative))]
    public void Gradients_are_the_derivatives(AdapterConfig config, bool exactStart, int count)
    {
        using ToyModel toy = new();
        AttachedAdapter adapter = toy.Host.Attach("a", config, new Rng(1));
        ToyModel.Disturb(adapter);
        _ = toy.Backward("a");
        foreach (AdapterParameter parameter in adapter.Parameters)
        {
            Assert.That(parameter.Parameter.HasGradient, Is.EqualTo(parameter.Parameter.Trainable), parameter.Parameter.Name);
            if (!parameter.Parameter.Trainable)
            {
                continue;
            }

            float[] gradient = parameter.Parameter.Gradient!.ToArray<float>();
            double scale = gradient.Max(g => Math.Abs((double)g));
            int elements = gradient.Length;
            for (int i = 0; i < elements; i += Math.Max(1, elements / 11))
            {
                Assert.That(gradient[i], Is.EqualTo(Difference(toy, parameter, i)).Within(2e-3 * Math.Max(1, scale)), $"{parameter.Parameter.Name}[{i}]");
            }
        }

        Assert.That(toy.Parameters.Where(p => p.HasGradient), Is.Empty);
        Assert.That(exactStart || count > 0);
    }

    [TestCaseSource(nameof(Methods))]
    public void Saving_and_loading_is_the_identity(AdapterConfig config, bool exactStart, int count)
    {
        using ToyModel toy = new();
        Dictionary<string, byte[]> before = toy.Bits();
        AttachedAdapter adapter = toy.Host.Attach("a", config, new Rng(1));
        ToyModel.Disturb(adapter);
        float[] attached = toy.Forward("a");
        using TemporaryFolder folder = new();
        if (config is PissaConfig { Iterations: > 0 })
        {
            Assert.That(() => toy.Host.Save("a", folder.Path), Throws.TypeOf<ConfigurationException>().With.Message.Contains("SavePlain"));
            return;
        }

        toy.Host.Save("a", folder.Path);
        toy.Host.Detach("a");
        Assert.That(toy.Bits(), Is.EqualTo(before), "detaching restores the base");
        AttachedAdapter again = toy.Host.Load(folder.Path, "a");
        Assert.That(again.Config.GetType(), Is.EqualTo(config.GetType()));
        Assert.That(again.Warnings, Is.Empty);
        Assert.That(toy.Forward("a"), Is.EqualTo(attached));
        Assert.That(exactStart || count > 0);
    }

    [TestCaseSource(nameof(Methods))]
    public void The_plain_form_is_the_same_function(AdapterConfig config, bool exactStart, int count)
    {
        using ToyModel toy = new();
        AttachedAdapter adapter = toy.Host.Attach("a", config, new Rng(1));
        ToyModel.Disturb(adapter);
        float[] attached = toy.Forward("a");
        using TemporaryFolder folder = new();
        if (config is DoraConfig or MissConfig { Variant: MissVariant.Affine } or BoneConfig { Variant: MissVariant.Affine })
        {
            Assert.That(() => toy.Host.SavePlain("a", folder.Path), Throws.TypeOf<NotMergeableException>());
            Assert.That(Directory.Exists(folder.Path), Is.False, "nothing is written");
            return;
        }

        toy.Host.SavePlain("a", folder.Path);
        toy.Host.Detach("a");
        AttachedAdapter plain = toy.Host.Load(folder.Path, "plain");
        Assert.That(plain.Config, Is.TypeOf<LoraConfig>());
        Closeness.AssertClose("plain", toy.Forward("plain"), attached, 1e-5);
        Assert.That(exactStart || count > 0);
    }

    [TestCaseSource(nameof(Methods))]
    public void Two_adapters_on_top_of_each_other_merge_to_what_they_compute(AdapterConfig config, bool exactStart, int count)
    {
        using ToyModel toy = new();
        ToyModel.Disturb(toy.Host.Attach("below", new LoraConfig { TargetModules = s_both, Rank = 2 }, new Rng(2)));
        ToyModel.Disturb(toy.Host.Attach("above", config, new Rng(1)));
        float[] both = toy.Forward("below", "above");
        Assert.That(both, Is.Not.EqualTo(toy.Forward("above")));
        toy.Host.Merge(["below", "above"]);
        Closeness.AssertClose("merged", toy.Forward(), both, 1e-5);
        Assert.That(exactStart || count > 0);
    }

    [TestCaseSource(nameof(Methods))]
    public void The_same_seed_gives_the_same_adapter(AdapterConfig config, bool exactStart, int count)
    {
        using ToyModel one = new();
        using ToyModel two = new();
        AttachedAdapter a = one.Host.Attach("a", config, new Rng(1));
        AttachedAdapter b = two.Host.Attach("a", config, new Rng(1));
        Assert.That(a.Parameters.Select(p => p.Value.ToArray<float>()), Is.EqualTo(b.Parameters.Select(p => p.Value.ToArray<float>())));
        Assert.That(a.Parameters.Select(p => p.Parameter.Name), Is.Unique);
        Assert.That(exactStart || count > 0);
    }

    [TestCaseSource(nameof(Methods))]
    public void A_plan_on_the_meta_device_attaches_it_too(AdapterConfig config, bool exactStart, int count)
    {
        using ToyModel toy = new(device: new MetaDevice());
        AttachedAdapter adapter = toy.Host.Attach("a", config, new Rng(1));
        Assert.That(adapter.TrainableCount, Is.EqualTo(count));
        toy.Run("a");
        Assert.That(exactStart || count > 0);
    }

    private static double Difference(ToyModel toy, AdapterParameter parameter, int i)
    {
        const float Step = 1e-2f;
        float at = parameter.Value.AsSpan<float>()[i];
        parameter.Value.AsSpan<float>()[i] = at + Step;
        double above = toy.Objective("a");
        parameter.Value.AsSpan<float>()[i] = at - Step;
        double below = toy.Objective("a");
        parameter.Value.AsSpan<float>()[i] = at;
        return (above - below) / (2 * Step);
    }

    private static TestCaseData Method(string what, AdapterConfig config, bool exactStart, int count)
    {
        return new TestCaseData(config with { TargetModules = s_both }, exactStart, count).SetArgDisplayNames(what);
    }
}
