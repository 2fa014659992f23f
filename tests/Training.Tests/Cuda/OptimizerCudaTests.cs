using System.Runtime.InteropServices;
using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Cuda;

/// <summary>The kernels of optimizers on flat blocks against the rules of the CPU, bit by bit.</summary>
[Category("CudaEmulator")]
public sealed class OptimizerCudaTests
{
    private const int Steps = 20;
    private static readonly int[] s_lengths = [1, 4, 1027];

    private CudaDevice _device = null!;

    [OneTimeSetUp]
    public void Open() => _device = CudaTestDevice.Open(guardBlocks: true);

    [OneTimeTearDown]
    public void Close() => _device?.Dispose();

    private static IEnumerable<AdamW> AdamRules() =>
    [
        new(),
        new(Beta1: 0.8, WeightDecay: 0.3) { AmsGrad = true, Maximize = true },
        AdamW.Adam with { WeightDecay = 0.1 },
        AdamW.Legacy with { WeightDecay = 0.05 },
    ];

    private static IEnumerable<Sgd> SgdRules() => [new(WeightDecay: 0.1), new(0.9, 0.2) { Maximize = true }, new(0.9) { Nesterov = true }];

    [TestCaseSource(nameof(AdamRules))]
    public void Twenty_steps_of_adamw_give_the_bits_of_the_cpu(AdamW rule)
    {
        foreach (int n in s_lengths)
        {
            foreach (int offset in (int[])[0, 1])
            {
                Blocks cpu = new(n, rule.Slots);
                using Arena arena = new(_device, "blocks");
                Tensor p = Upload(arena, cpu.Parameter, offset), copy = Upload16(arena, cpu.Parameter, offset);
                Tensor[] slots = [.. cpu.Slots.Select(s => Upload(arena, s, offset))];
                for (int step = 1; step <= Steps; step++)
                {
                    float[] g = Draw(n, 100 + step);
                    cpu.Update(rule.Update, g, 0.01 / step, rule.WeightDecay, step);
                    AdamWFactors f = rule.Factors(0.01 / step, rule.WeightDecay, step);
                    FlatKernels.AdamW(_device, p, step % 2 == 0 ? copy : null, Upload(arena, g, offset), slots[0], slots[1], rule.AmsGrad ? slots[2] : null, f);
                }

                Same(p, cpu.Parameter);
                for (int i = 0; i < slots.Length; i++)
                {
                    Same(slots[i], cpu.Slots[i]);
                }

                Assert.That(copy.ToArray<BFloat16>(), Is.EqualTo(Array.ConvertAll(cpu.Parameter, x => (BFloat16)x)), "the copy, rounded");
            }
        }
    }

    [TestCaseSource(nameof(SgdRules))]
    public void Twenty_steps_of_sgd_give_the_bits_of_the_cpu(Sgd rule)
    {
        foreach (int n in s_lengths)
        {
            Blocks cpu = new(n, rule.Slots);
            using Arena arena = new(_device, "blocks");
            Tensor p = Upload(arena, cpu.Parameter), copy = Upload16(arena, cpu.Parameter);
            Tensor? buffer = rule.Slots == 0 ? null : Upload(arena, cpu.Slots[0]);
            for (int step = 1; step <= Steps; step++)
            {
                float[] g = Draw(n, 100 + step);
                cpu.Update(rule.Update, g, 0.01, rule.WeightDecay, step);
                FlatKernels.Sgd(_device, p, step == Steps ? copy : null, Upload(arena, g), buffer, rule.Factors(0.01, rule.WeightDecay, step));
            }

            Same(p, cpu.Parameter);
            Assert.That(copy.ToArray<BFloat16>(), Is.EqualTo(Array.ConvertAll(cpu.Parameter, x => (BFloat16)x)), "the copy, rounded");
        }
    }

    [Test]
    public void Stochastic_rounding_takes_the_bits_of_the_stream()
    {
        AdamW rule = new();
        const int N = 1027;
        Rng rng = new Rng(5).Stream("rounding");
        Blocks cpu = new(N, 2);
        cpu.Parameter = Array.ConvertAll(cpu.Parameter, x => (float)(BFloat16)x);
        using Arena arena = new(_device, "blocks");
        Tensor p = Upload16(arena, cpu.Parameter), m = Upload(arena, cpu.Slots[0]), v = Upload(arena, cpu.Slots[1]);
        for (int step = 1; step <= 3; step++)
        {
            float[] g = Draw(N, 100 + step);
            cpu.Update(rule.Update, g, 1e-4, rule.WeightDecay, step);
            for (int i = 0; i < N; i++)
            {
                uint bits = BitConverter.SingleToUInt32Bits(cpu.Parameter[i]) + (rng.At(step).Bits(i) & 0xffff);
                cpu.Parameter[i] = BitConverter.UInt32BitsToSingle(bits & 0xffff0000);
            }

            FlatKernels.AdamWStochastic(_device, p, Upload(arena, g), m, v, null, rule.Factors(1e-4, rule.WeightDecay, step), rng.At(step));
        }

        Assert.That(Array.ConvertAll(p.ToArray<BFloat16>(), x => (float)x), Is.EqualTo(cpu.Parameter));
    }

    [Test]
    public void Stochastic_rounding_keeps_updates_that_are_too_small_for_bf16()
    {
        // A step of 1e-4 at 1 is a 78th of BF16's spacing: rounded to nearest, nothing would ever move.
        const int N = 4096, Updates = 50;
        using Arena arena = new(_device, "blocks");
        Tensor p = Upload16(arena, Enumerable.Repeat(1.5f, N).ToArray()), g = Upload(arena, Enumerable.Repeat(1f, N).ToArray());
        Tensor m = Upload(arena, new float[N]), v = Upload(arena, new float[N]);
        AdamW rule = new(WeightDecay: 0);
        for (int step = 1; step <= Updates; step++)
        {
            FlatKernels.AdamWStochastic(_device, p, g, m, v, null, rule.Factors(1e-4, 0, step), new Rng(1).Stream("p").At(step));
        }

        // One rounding has a variance of q(1 - q) spacings²; the mean of N elements over all updates is within 5 deviations of the exact sum.
        const double Spacing = 1.0 / 128, Share = 1e-4 / Spacing;
        double deviation = Spacing * Math.Sqrt(Updates * Share * (1 - Share) / N);
        Assert.That(p.ToArray<BFloat16>().Average(x => (float)x), Is.EqualTo(1.5 - (Updates * 1e-4)).Within(5 * deviation));
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(1027)]
    [TestCase(70_001)]
    public void Norms_agree_with_doubles_and_join(int n)
    {
        using Arena arena = new(_device, "norm");
        float[] x = Draw(n, 1), y = Draw(n, 2);
        Tensor sums = arena.Allocate(new Shape(FlatKernels.NormElements), DType.F64, MemoryCategory.Workspace);
        Assert.That(Norm(FlatNorm.SumOfSquares), Is.EqualTo(x.Concat(y).Sum(a => (double)a * a)).Within(1e-10).Percent);
        Assert.That(Norm(FlatNorm.SumOfMagnitudes), Is.EqualTo(x.Concat(y).Sum(a => Math.Abs((double)a))).Within(1e-10).Percent);
        Assert.That(Norm(FlatNorm.LargestMagnitude), Is.EqualTo(x.Concat(y).Select(a => Math.Abs((double)a)).DefaultIfEmpty().Max()));
        if (n > 0)
        {
            x[n / 2] = float.NaN;
            Assert.That(Norm(FlatNorm.LargestMagnitude), Is.NaN);
            Assert.That(Norm(FlatNorm.SumOfSquares), Is.NaN);
        }

        double Norm(FlatNorm order)
        {
            FlatKernels.Norm(_device, Upload(arena, x), order, sums, accumulate: false);
            FlatKernels.Norm(_device, Upload(arena, y, 1), order, sums, accumulate: true);
            return sums.ToArray<double>()[0];
        }
    }

    [Test]
    public void Scaling_adding_and_limits_agree_with_the_cpu()
    {
        const int N = 1027;
        using Arena arena = new(_device, "flat");
        float[] x = Draw(N, 1), y = Draw(N, 2);
        foreach (int offset in (int[])[0, 1])
        {
            Tensor a = Upload(arena, x, offset), b = Upload(arena, y, offset);
            FlatKernels.AddScaled(_device, b, a, 0.3f);
            Same(b, [.. x.Zip(y, (u, v) => MathF.FusedMultiplyAdd(0.3f, u, v))]);
            FlatKernels.Clamp(_device, b, 0.5f);
            Same(b, [.. x.Zip(y, (u, v) => Math.Clamp(MathF.FusedMultiplyAdd(0.3f, u, v), -0.5f, 0.5f))]);
            FlatKernels.Scale(_device, a, 0.7f);
            Same(a, [.. x.Select(u => u * 0.7f)]);
        }

        Tensor sums = arena.Allocate(new Shape(FlatKernels.NormElements), DType.F64, MemoryCategory.Workspace);
        Tensor g = Upload(arena, x);
        FlatKernels.Norm(_device, g, FlatNorm.SumOfSquares, sums, accumulate: false);
        double norm = Math.Sqrt(sums.ToArray<double>()[0]);
        FlatKernels.Clip(_device, g, sums, 1e6f);
        Same(g, x);
        FlatKernels.Clip(_device, g, sums, 2);
        float coefficient = (float)(2 / (norm + 1e-6));
        Same(g, [.. x.Select(u => u * coefficient)]);
    }

    [Test]
    public void Blocks_that_do_not_fit_are_refused()
    {
        using Arena arena = new(_device, "flat");
        Tensor four = Upload(arena, new float[4]), five = Upload(arena, new float[5]);
        Assert.That(() => FlatKernels.AddScaled(_device, four, five, 1), Throws.InstanceOf<ShapeException>());
        Assert.That(() => FlatKernels.Scale(_device, Upload16(arena, new float[4]), 1), Throws.InstanceOf<DTypeException>());
        Assert.That(() => FlatKernels.Norm(_device, four, FlatNorm.SumOfSquares, five, false), Throws.InstanceOf<ShapeException>());
    }

    private static float[] Draw(int n, int seed)
    {
        float[] values = new float[n];
        new Rng((ulong)seed).Stream("draw").FillNormal(0, values);
        return values;
    }

    private static Tensor Upload(Arena arena, float[] values, int offset = 0)
    {
        float[] padded = new float[values.Length + offset];
        values.CopyTo(padded, offset);
        return Tape.None(arena).View(arena.Create<float>(new Shape(padded.Length), padded, MemoryCategory.Weights), new Shape(values.Length), offset);
    }

    private static Tensor Upload16(Arena arena, float[] values, int offset = 0)
    {
        BFloat16[] padded = new BFloat16[values.Length + offset];
        Array.ConvertAll(values, x => (BFloat16)x).CopyTo(padded, offset);
        return Tape.None(arena).View(arena.Create<BFloat16>(new Shape(padded.Length), padded, MemoryCategory.Weights), new Shape(values.Length), offset);
    }

    private static void Same(Tensor actual, float[] expected) =>
        Assert.That(Array.ConvertAll(actual.ToArray<float>(), BitConverter.SingleToInt32Bits), Is.EqualTo(Array.ConvertAll(expected, BitConverter.SingleToInt32Bits)));

    private delegate void Rule(UpdateCall c);

    private sealed class Blocks
    {
        public Blocks(int n, int slots)
        {
            Parameter = Draw(n, 1);
            Slots = [.. Enumerable.Range(0, slots).Select(_ => new float[n])];
        }

        public float[] Parameter { get; set; }

        public float[][] Slots { get; }

        public void Update(Rule rule, float[] gradient, double learningRate, double decay, long step)
        {
            SlotAddresses addresses = default;
            List<GCHandle> pins = [];
            for (int i = 0; i < Slots.Length; i++)
            {
                pins.Add(GCHandle.Alloc(Slots[i], GCHandleType.Pinned));
                addresses[i] = pins[i].AddrOfPinnedObject();
            }

            rule(new UpdateCall(Parameter, gradient, addresses, Slots.Length, 0) { LearningRate = learningRate, WeightDecay = decay, Step = step });
            pins.ForEach(p => p.Free());
        }
    }
}
