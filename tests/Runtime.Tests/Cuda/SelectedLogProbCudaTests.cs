using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>The fused output head on the CUDA device: what the op table does not reach.</summary>
[Category("CudaEmulator")]
public class SelectedLogProbCudaTests
{
    private CudaDevice _device = null!;

    [OneTimeSetUp]
    public void Open() => _device = CudaTestDevice.Open(guardBlocks: true);

    [OneTimeTearDown]
    public void Close() => _device?.Dispose();

    [Test]
    public void A_head_whose_workspace_passes_2_GiB_can_be_planned()
    {
        using MetaDevice meta = new(DeviceKind.Cuda);
        using Arena arena = new(meta, "step");
        using Tape tape = new(arena);
        const int Rows = 512, Width = 8192, Vocabulary = 128_256;
        Tensor hidden = tape.Watch(arena.Allocate(new Shape(Rows, Width), DType.F32, MemoryCategory.Activations));
        Tensor weight = arena.Allocate(new Shape(Vocabulary, Width), DType.BF16, MemoryCategory.Weights);
        Tensor targets = arena.Allocate(new Shape(Rows), DType.I32, MemoryCategory.Activations);
        (Tensor logProb, Tensor lse) = tape.SelectedLogProbAndSum(hidden, weight, targets);
        using (arena.Enter("backward"))
        {
            tape.Backward(tape.Add(tape.Sum(logProb), tape.Sum(lse)));
        }

        // The BF16 weight is widened beside F32 activations: 4 bytes an element.
        Assert.That(arena.Report().Peak[MemoryCategory.Workspace], Is.GreaterThan(4L * Vocabulary * Width));
    }

    [Test]
    public void Several_chunks_agree_with_the_cpu([Values] bool frozen, [Values] bool logSumExp)
    {
        // More than 8192 rows are two chunks at any vocabulary.
        using CpuDevice cpu = new(2);
        Head head = new(8300, 6, 11) { Frozen = frozen, LogSumExp = logSumExp, Smoothing = 0.1f };
        Assert.That(SelectedLogProbCuda.ChunkRows(8300, 11), Is.EqualTo(4224));
        Compare(head.On(_device), head.On(cpu), 1e-6, 2e-5);
    }

    [Test]
    public void Rows_longer_than_a_block_steps_over_agree_with_the_cpu([Values(4095, 4096, 4097, 9001)] int classes, [Values(0, 7f)] float cap)
    {
        using CpuDevice cpu = new(2);
        Head head = new(5, 8, classes) { Smoothing = 0.2f, SoftCap = cap, LogSumExp = true };
        Compare(head.On(_device), head.On(cpu), 2e-6, 2e-5);
    }

    [TestCase(DType.BF16, DType.BF16)]
    [TestCase(DType.BF16, DType.F32)]
    [TestCase(DType.F32, DType.BF16)]
    public void Types_of_hidden_and_weight_may_differ(DType hidden, DType weight)
    {
        using CpuDevice cpu = new(2);
        foreach (bool frozen in (bool[])[false, true])
        {
            Head head = new(9, 16, 4100) { Frozen = frozen, LogSumExp = !frozen };
            double[][] actual = (head with { Hidden = hidden, Weight = weight }).On(_device), expected = head.On(cpu);
            Compare(actual, expected, 2e-6, 1.0 / 64); // slopes beside BF16, and gradients of BF16, are rounded to that
            if (hidden == DType.F32)
            {
                Compare(actual[..3], expected[..3], 2e-6, 2e-5);
            }
        }
    }

    [Test]
    public void A_target_beyond_the_vocabulary_is_reported_when_the_host_waits()
    {
        using CudaDevice device = CudaTestDevice.Open();
        using Arena arena = new(device, "a");
        Tape t = Tape.None(arena);
        Tensor hidden = arena.Create<float>(new Shape(2, 1), [1, 2], MemoryCategory.Activations);
        Tensor weight = arena.Create<float>(new Shape(3, 1), [1, -1, 0], MemoryCategory.Activations);
        Tensor targets = arena.Create<int>(new Shape(2), [1, 3], MemoryCategory.Activations);
        Assert.That(() => t.SelectedLogProb(hidden, weight, targets).ToArray<float>(), Throws.InstanceOf<IndexException>().With.Message.Contains("selected_log_prob"));
        targets.CopyFrom<int>([1, 2]);
        Assert.That(t.SelectedLogProb(hidden, weight, targets).ToArray<float>(), Is.All.LessThan(0), "the device goes on");
    }

    [Test]
    public void Large_logits_and_minus_infinity_stay_exact()
    {
        using Arena arena = new(_device, "a");
        Tape t = Tape.None(arena);
        Tensor hidden = arena.Create<float>(new Shape(2, 2), [1e4f, 0, 0, 1], MemoryCategory.Activations);
        Tensor weight = arena.Create<float>(new Shape(3, 2), [1, 1, -1, 1, 0, 1], MemoryCategory.Activations);
        Tensor targets = arena.Create<int>(new Shape(2), [1, 2], MemoryCategory.Activations);
        float[] result = t.SelectedLogProb(hidden, weight, targets).ToArray<float>();
        Assert.That(result[0], Is.EqualTo(-2e4f));
        Assert.That(result[1], Is.EqualTo(-MathF.Log(3)).Within(1e-6));
    }

    [Test]
    public void Chunks_hold_a_quarter_of_a_gibibyte_of_logits_at_most_or_256_rows()
    {
        Assert.That(SelectedLogProbCuda.ChunkRows(8192, 128_256), Is.EqualTo(512));
        Assert.That(SelectedLogProbCuda.ChunkRows(8192, 32_000), Is.EqualTo(2048));
        Assert.That(SelectedLogProbCuda.ChunkRows(8192, 1_000_000), Is.EqualTo(256));
        Assert.That(SelectedLogProbCuda.ChunkRows(100, 1_000_000), Is.EqualTo(100));
        TensorSpec hidden = new(new Shape(8192, 4096), DType.BF16), weight = new(new Shape(128_256, 4096), DType.BF16);
        Assert.That(SelectedLogProbCuda.WorkspaceBytes(hidden, weight), Is.LessThanOrEqualTo(256 << 20));
    }

    private static void Compare(double[][] actual, double[][] expected, double forward, double backward)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            double scale = Math.Max(1, expected[i].Select(Math.Abs).DefaultIfEmpty().Max());
            Worst.Within(actual[i], expected[i], scale * (i < 2 ? forward : backward), 0, $"result {i} (logp, lse, dHidden, dWeight)");
        }
    }

    private sealed record Head(int Rows, int Width, int Classes)
    {
        public bool Frozen { get; init; }

        public bool LogSumExp { get; init; }

        public float Smoothing { get; init; }

        public float SoftCap { get; init; }

        public DType Hidden { get; init; }

        public DType Weight { get; init; }

        /// <summary>logp, lse, dHidden, dWeight; the numbers are BF16's in every type.</summary>
        public double[][] On(Device device)
        {
            using Arena arena = new(device, "head");
            using Tape tape = new(arena);
            Tensor hidden = tape.Watch(Create(arena, new Shape(Rows, Width), 1, Hidden)), weight = Create(arena, new Shape(Classes, Width), 2, Weight);
            weight = Frozen ? weight : tape.Watch(weight);
            int[] labels = [.. Enumerable.Range(0, Rows).Select(i => i % 5 == 3 ? -100 : i * 6151 % Classes)];
            Tensor targets = arena.Create<int>(new Shape(Rows), labels, MemoryCategory.Activations);
            Tensor own = Create(arena, new Shape(Rows), 3, DType.F32), other = Create(arena, new Shape(Rows), 4, DType.F32);
            Tensor logProb, loss;
            Tensor? logSumExp = null;
            if (LogSumExp)
            {
                (logProb, logSumExp) = tape.SelectedLogProbAndSum(hidden, weight, targets, Smoothing, SoftCap);
                (logProb, logSumExp) = (Tape.Pin(logProb), Tape.Pin(logSumExp));
                loss = tape.Add(tape.Mul(logProb, own), tape.Mul(logSumExp, other));
            }
            else
            {
                logProb = Tape.Pin(tape.SelectedLogProb(hidden, weight, targets, Smoothing, SoftCap));
                loss = tape.Mul(logProb, own);
            }

            tape.Backward(tape.Sum(loss));
            return [Read(logProb), logSumExp is null ? [] : Read(logSumExp), Read(tape.GradientOf(hidden)!), Frozen ? [] : Read(tape.GradientOf(weight)!)];
        }

        private static Tensor Create(Arena arena, Shape shape, int seed, DType type)
        {
            float[] values = new float[shape.Count];
            new Rng((ulong)seed).Stream("head").FillNormal(0, values);
            BFloat16[] rounded = Array.ConvertAll(values, v => (BFloat16)v);
            return type == DType.BF16
                ? arena.Create<BFloat16>(shape, rounded, MemoryCategory.Activations)
                : arena.Create<float>(shape, Array.ConvertAll(rounded, v => (float)v), MemoryCategory.Activations);
        }

        private static double[] Read(Tensor x) => x.DType == DType.BF16
            ? Array.ConvertAll(x.ToArray<BFloat16>(), v => (double)(float)v)
            : Array.ConvertAll(x.ToArray<float>(), v => (double)v);
    }
}
