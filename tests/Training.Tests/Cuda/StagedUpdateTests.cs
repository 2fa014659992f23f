using Graft.Runtime;
using Graft.Training.Optimizers;
using Graft.Training.Tests.Optimizers;

namespace Graft.Training.Tests.Cuda;

/// <summary>Optimizers on CUDA against the CPU, bit by bit: by kernels, and through host memory for rules, masks and row factors that have none.</summary>
[Category("CudaEmulator")]
public sealed class StagedUpdateTests
{
    // One piece of the stage and a part.
    private const int Long = (1 << 20) + 33;

    private CudaDevice _device = null!;

    [OneTimeSetUp]
    public void Open() => _device = CudaTestDevice.Open();

    [OneTimeTearDown]
    public void Close() => _device?.Dispose();

    private static IEnumerable<IUpdateRule> Rules() => [new Lion(WeightDecay: 0.1), new AdamW(), new Sgd(Momentum: 0.9)];

    [TestCaseSource(nameof(Rules))]
    public void Every_rule_gives_the_bits_of_the_cpu(IUpdateRule rule)
    {
        foreach (DType type in (DType[])[DType.F32, DType.BF16])
        {
            float[][] expected = Run(new CpuDevice(2), rule, type, [7, 40, 1027], (_, _) => { });
            float[][] actual = Run(_device, rule, type, [7, 40, 1027], (_, _) => { });
            Same(actual, expected);
        }
    }

    [Test]
    public void Blocks_longer_than_a_piece_are_done_whole()
    {
        Same(Run(_device, new Lion(), DType.F32, [Long], (_, _) => { }), Run(new CpuDevice(2), new Lion(), DType.F32, [Long], (_, _) => { }));
    }

    [TestCaseSource(nameof(Rules))]
    public void Frozen_elements_keep_their_bits(IUpdateRule rule)
    {
        float[][] expected = Run(new CpuDevice(2), rule, DType.F32, [100, 3], Freeze);
        float[][] actual = Run(_device, rule, DType.F32, [100, 3], Freeze);
        Same(actual, expected);

        static void Freeze(ParameterSet set, Arena _) => set.Freeze(set.All[0], [.. Enumerable.Range(0, 100).Select(i => (byte)(i % 3 == 0 ? 1 : 0))]);
    }

    [Test]
    public void Factors_of_rows_scale_the_update([Values(DType.F32, DType.BF16)] DType type)
    {
        Same(Run(_device, new AdamW(), type, [64], Scale), Run(new CpuDevice(2), new AdamW(), type, [64], Scale));

        static void Scale(ParameterSet set, Arena arena)
        {
            Tensor factors = arena.Create<float>(new Shape(64), [.. Enumerable.Range(0, 64).Select(i => i / 32f)], MemoryCategory.Workspace);
            set.All[0].UpdateScale = _ => factors;
        }
    }

    [Test]
    public void Clipping_gives_the_norm_of_the_cpu([Values] NormOrder order)
    {
        (double expected, float[] cpu) = Clipped(new CpuDevice(2));
        (double actual, float[] cuda) = Clipped(_device);
        Assert.That(actual, Is.EqualTo(expected).Within(1e-10).Percent);
        Closeness.AssertClose("clipped", cuda, cpu, 1e-6);

        (double Norm, float[] Gradient) Clipped(Device device)
        {
            using Disposer owned = new(device);
            using Arena arena = new(device, "clip");
            using ParameterSet set = Make(arena, DType.F32, [100, 1, 4000]);
            Give(set, 1);
            GradientClipping.ByValue(2, set);
            double norm = GradientClipping.ByNorm(0.5, order, set);
            return (norm, set.All[2].Parameter.Gradient!.ToArray<float>());
        }
    }

    // Values, 16-bit values and state after three steps with clipping by hand.
    private static float[][] Run(Device device, IUpdateRule rule, DType type, int[] lengths, Action<ParameterSet, Arena> prepare)
    {
        using Disposer owned = new(device);
        using Arena arena = new(device, "update");
        using ParameterSet set = Make(arena, type, lengths);
        Optimizer optimizer = new(set, rule, 0.01);
        prepare(set, arena);
        for (int step = 0; step < 3; step++)
        {
            Give(set, step);
            optimizer.Update();
        }

        return
        [
            .. set.All.Select(e => e.Values.ToArray<float>()),
            .. set.All.SelectMany(e => e.Slots).Select(s => s.ToArray<float>()),
            .. type == DType.BF16 ? set.All.Select(e => Array.ConvertAll(e.Parameter.Value.ToArray<BFloat16>(), v => (float)v)) : [],
        ];
    }

    private static ParameterSet Make(Arena arena, DType type, int[] lengths)
    {
        List<Parameter> parameters = [];
        for (int p = 0; p < lengths.Length; p++)
        {
            float[] start = new float[lengths[p]];
            new Rng(1).Stream("p" + p).FillNormal(0, start);
            Tensor value = type == DType.BF16
                ? arena.Create<BFloat16>(new Shape(lengths[p]), Array.ConvertAll(start, v => (BFloat16)v), MemoryCategory.Weights)
                : arena.Create<float>(new Shape(lengths[p]), start, MemoryCategory.Weights);
            parameters.Add(new Parameter("p" + p, value, trainable: true));
        }

        return new ParameterSet(parameters, arena);
    }

    private static void Give(ParameterSet set, int step)
    {
        set.ClearGradients();
        foreach (ParameterEntry entry in set.Active)
        {
            entry.Parameter.GradientTarget(out _).WriteOnHost<float>((values, start) => new Rng(2).At(step).Stream(entry.Name).FillNormal(start, values));
        }
    }

    private static void Same(float[][] actual, float[][] expected)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length));
        for (int i = 0; i < expected.Length; i++)
        {
            int different = actual[i].AsSpan().CommonPrefixLength(expected[i]);
            Assert.That(different, Is.EqualTo(expected[i].Length), $"tensor {i}, element {different}");
        }
    }

    // The CPU devices are the tests' own, the card is the class's.
    private sealed class Disposer(Device device) : IDisposable
    {
        public void Dispose()
        {
            if (device is CpuDevice)
            {
                device.Dispose();
            }
        }
    }
}
