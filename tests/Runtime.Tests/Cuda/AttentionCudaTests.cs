using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>Attention on a CUDA device, by the plain kernels, those of tensor cores and that of decoding, against the CPU in F64 on the same, rounded, inputs.</summary>
[Category("CudaEmulator")]
internal sealed class AttentionCudaTests
{
    // F32: sums of a few hundred products in another order, of exponentials that are two units of the last place out. Relative to the largest element, or to 1.
    private const double SingleForward = 4e-6;

    // dp and delta, sums of D products up to 10·√D, cancel where few keys are seen; what is left of them times the scale and an element of k or q is their rounding,
    // a few 2^-24 of 30. With one key it is all there is: the exact gradient is 0, and 7e-6 were seen.
    private const double SingleBackward = 1e-5;

    // BF16, 8 bits: the result is rounded (2^-9), and so are the probabilities before their product with v (2^-9 each, of different signs).
    private const double HalfForward = 1.0 / 128;

    // Here delta also comes from a rounded output, and slopes, which are differences, are rounded before their product.
    private const double HalfBackward = 1.0 / 64;

    // A sink's gradient is a sum of deltas over all queries, each with the error of a rounded output, and cancels.
    private const double HalfSinks = 1.0 / 16;

    private CudaDevice _device = null!;

    [OneTimeSetUp]
    public void Open() => _device = CudaTestDevice.Open(guardBlocks: true);

    [OneTimeTearDown]
    public void Close() => _device?.Dispose();

    /// <summary>Queries and keys around the tiles of 16, 32, 64 and 128; 8 and 80 elements have plain kernels alone, 64 and 128 in BF16 tensor cores.</summary>
    internal static IEnumerable<TestCaseData> Sizes()
    {
        int[] tokens = [1, 15, 16, 17, 63, 64, 65, 130];
        int i = 0;
        foreach (int size in (int[])[8, 64, 80, 128])
        {
            foreach (int queries in tokens)
            {
                foreach (int keys in tokens)
                {
                    int heads = 1 << (++i % 3);
                    Setting s = new(i % 8 == 0 ? 2 : 1, queries, keys, heads, i % 4 < 2 ? 1 : heads, size) { Causal = i % 5 != 0 };
                    if (size is 8 or 80 || i % 3 == 0)
                    {
                        yield return new TestCaseData(s, DType.F32); // the plain kernels do the same for every size
                    }

                    yield return new TestCaseData(s, DType.BF16);
                }
            }
        }
    }

    internal static IEnumerable<TestCaseData> Others() =>
        Features().Concat(Shapes()).SelectMany(s => (TestCaseData[])[new(s, DType.F32), new(s, DType.BF16)]);

    /// <summary>Each feature alone, all but each, none and all.</summary>
    private static IEnumerable<Setting> Features()
    {
        foreach (int size in (int[])[20, 64, 128])
        {
            int[] sets = [0, 63, .. Enumerable.Range(0, 6).SelectMany(f => (int[])[1 << f, 63 ^ (1 << f)])];
            foreach (int set in sets)
            {
                yield return new(1, 130, 130, 4, 2, size)
                {
                    Causal = (set & 1) != 0,
                    Window = (set & 2) != 0 ? 37 : 0,
                    SoftCap = (set & 4) != 0 ? 2 : 0,
                    Ranges = (set & 8) != 0,
                    Sinks = (set & 16) != 0,
                    Packed = (set & 32) != 0,
                };
            }
        }
    }

    /// <summary>Caches with room for more, as in generation: one split of keys and several; then long windows, wide and odd heads, more keys than a block has.</summary>
    private static IEnumerable<Setting> Shapes()
    {
        foreach (int size in (int[])[16, 64, 80, 128, 256])
        {
            yield return new(2, 1, 70, 4, 2, size) { Causal = true, Room = 99 };
            yield return new(1, 3, 1100, 4, 1, size) { Causal = true, Sinks = true, Room = 1200 };
            yield return new(1, 2, 600, 2, 1, size) { Causal = true, Window = 70, SoftCap = 3, Ranges = true };
        }

        yield return new(1, 66, 200, 2, 1, 128) { Causal = true, Room = 230 };
        yield return new(1, 70, 300, 2, 1, 64) { Window = 150, Causal = true };
        yield return new(1, 300, 300, 2, 1, 128) { Causal = true, Ranges = true };
        yield return new(1, 40, 50, 2, 1, 256) { Causal = true };
        yield return new(1, 20, 30, 2, 1, 1);
        yield return new(1, 9, 30, 1, 1, 1024) { Causal = true };
        yield return new(1, 9, 30, 1, 1, 131) { Causal = true, Sinks = true };
    }

    [TestCaseSource(nameof(Sizes))]
    [TestCaseSource(nameof(Others))]
    public void Agrees_with_f64(object setting, DType type) => Check((Setting)setting, type);

    [Test]
    public void A_view_at_an_odd_offset_takes_the_plain_kernels([Values(64, 128)] int size)
    {
        Setting s = new(1, 70, 70, 4, 2, size) { Causal = true, Window = 50, SoftCap = 2, Sinks = true, Offset = 3 };
        Check(s, DType.BF16);
        Check(s with { Queries = 1 }, DType.BF16);
    }

    [Test]
    public void Tensor_cores_are_for_bf16_heads_of_64_and_128_elements([Values(DType.F32, DType.BF16)] DType type, [Values(32, 64, 80, 128, 256)] int size)
    {
        AttentionProblem problem = new(new Setting(1, 70, 70, 4, 2, size).Op(), 1, 70, 70, 70, size, type);
        Assert.That(AttentionCuda.HasTensorCores(problem, address: 4096), Is.EqualTo(type == DType.BF16 && size is 64 or 128));
        Assert.That(AttentionCuda.HasTensorCores(problem, address: 4098), Is.False, "rows that are not aligned to 16 bytes");
    }

    private void Check(Setting s, DType type)
    {
        using CpuDevice cpu = new(1);
        using Run expected = new(s, cpu, type, DType.F64);
        using Run actual = new(s, _device, type, type);
        double forward = type == DType.F32 ? SingleForward : HalfForward, backward = type == DType.F32 ? SingleBackward : HalfBackward;
        Near(actual.Inference(), expected.Inference(), forward, $"{s} {type.Name()}: output of inference");

        double[][] given = actual.Backward(1), wanted = expected.Backward(1), twice = actual.Backward(2);
        Near(given[0], wanted[0], forward, $"{s} {type.Name()}: output");

        // A key's gradient adds up T·H/K terms of weight about 1/S, and their errors as a random walk does.
        double least = Math.Max(1, Math.Sqrt(s.Queries * s.Heads / s.KeyHeads) / s.Keys);
        for (int i = 1; i < wanted.Length; i++)
        {
            bool sinks = s.Sinks && i == wanted.Length - 1;
            double tolerance = (type == DType.BF16 && sinks ? HalfSinks : backward) * least;
            Near(given[i], wanted[i], tolerance, $"{s} {type.Name()}: gradient {i - 1}");
            Near(twice[i], Array.ConvertAll(wanted[i], g => 2 * g), tolerance, $"{s} {type.Name()}: gradient {i - 1}, added up twice");
        }
    }

    private static void Near(double[] actual, double[] expected, double tolerance, string what)
    {
        Worst.Within(actual, expected, tolerance * Math.Max(1, expected.Select(Math.Abs).DefaultIfEmpty().Max()), 0, what);
    }

    internal sealed record Setting(int Batch, int Queries, int Keys, int Heads, int KeyHeads, int Size)
    {
        public bool Causal { get; init; }

        public int Window { get; init; }

        public float SoftCap { get; init; }

        /// <summary>Documents of 1 to 40 keys; every seventh query sees nothing.</summary>
        public bool Ranges { get; init; }

        public bool Sinks { get; init; }

        public bool Packed { get; init; }

        /// <summary>Keys that there is room for; 0 for no more than there are.</summary>
        public int Room { get; init; }

        /// <summary>Elements before the inputs, in the tensors that they are views of.</summary>
        public int Offset { get; init; }

        /// <summary>Without blanks, so that a filter of tests can name it.</summary>
        public override string ToString() =>
            $"B{Batch}_T{Queries}_S{Keys}_H{Heads}_K{KeyHeads}_D{Size}{(Causal ? "_causal" : "")}{(Window > 0 ? $"_window{Window}" : "")}{(SoftCap > 0 ? "_cap" : "")}"
            + $"{(Ranges ? "_ranges" : "")}{(Sinks ? "_sinks" : "")}{(Packed ? "_packed" : "")}{(Room > 0 ? $"_room{Room}" : "")}{(Offset > 0 ? "_view" : "")}";

        public ScaledDotProductAttention Op() =>
            new(Heads, KeyHeads, 1.3f / MathF.Sqrt(Size), Causal, Window, SoftCap, Room > 0 ? Keys : 0, Packed, Ranges, Sinks);

        public Shape[] Shapes()
        {
            Shape keys = new(Batch, Math.Max(Room, Keys), KeyHeads, Size);
            return Packed ? [new(Batch, Queries, (Heads + (2 * KeyHeads)) * Size)] : [new(Batch, Queries, Heads, Size), keys, keys];
        }
    }

    /// <summary>One attention on one device: the inputs of all devices are the same, rounded to `rounded`, and held as `type`.</summary>
    private sealed class Run : IDisposable
    {
        private readonly Setting _s;
        private readonly DType _rounded;
        private readonly DType _type;
        private readonly Arena _arena;
        private readonly Tape _tape;
        private readonly Tensor[] _bases;
        private readonly Tensor? _ranges;

        public Run(Setting s, Device device, DType rounded, DType type)
        {
            (_s, _rounded, _type) = (s, rounded, type);
            _arena = new Arena(device, "attention", 4096);
            _tape = new Tape(_arena);
            _bases = [.. s.Shapes().Select((shape, i) => Make(new Shape((int)shape.Count + s.Offset), i, type))];
            if (s.Sinks)
            {
                _bases = [.. _bases, Make(new Shape(s.Heads), 9, type == DType.BF16 ? DType.F32 : type)];
            }

            _ranges = s.Ranges ? _arena.Create<int>(new Shape(s.Batch, s.Queries, 2), Documents(s), MemoryCategory.Activations) : null;
        }

        public void Dispose()
        {
            _tape.Dispose();
            _arena.Dispose();
        }

        public double[] Inference()
        {
            using Scope scope = _arena.Enter("inference");
            Tape none = Tape.None(_arena);
            return Read(none.Apply(_s.Op(), Inputs(none, _bases)));
        }

        /// <summary>The output, then the gradients of all inputs, added up over as many runs as asked for.</summary>
        public double[][] Backward(int times)
        {
            using Scope scope = _arena.Enter("backward");
            Tensor[] watched = [.. _bases.Select(_tape.Watch)];
            double[][] results = [];
            for (int time = 0; time < times; time++)
            {
                Tensor y = _tape.Apply(_s.Op(), Inputs(_tape, watched));
                results = [Read(y)];
                _tape.Backward(y, Make(y.Shape, 5, _type));
            }

            results = [.. results, .. watched.Select(w => Read(_tape.GradientOf(w)!))];
            _tape.Clear();
            return results;
        }

        private Tensor[] Inputs(Tape tape, Tensor[] bases)
        {
            Shape[] shapes = _s.Shapes();
            List<Tensor> inputs = [.. shapes.Select((shape, i) => tape.View(bases[i], shape, _s.Offset))];
            if (_ranges is not null)
            {
                inputs.Add(_ranges);
            }

            return _s.Sinks ? [.. inputs, bases[^1]] : [.. inputs];
        }

        private Tensor Make(Shape shape, int seed, DType type)
        {
            float[] values = new float[shape.Count];
            new Rng(11).Stream($"{seed} {shape}").FillNormal(0, values);
            if (_rounded == DType.BF16)
            {
                values = Array.ConvertAll(values, v => (float)(BFloat16)v);
            }

            Tensor tensor = _arena.Allocate(shape, type, MemoryCategory.Activations);
            if (type == DType.F64)
            {
                tensor.CopyFrom<double>(Array.ConvertAll(values, v => (double)v));
            }
            else if (type == DType.BF16)
            {
                tensor.CopyFrom<BFloat16>(Array.ConvertAll(values, v => (BFloat16)v));
            }
            else
            {
                tensor.CopyFrom<float>(values);
            }

            return tensor;
        }

        private static double[] Read(Tensor x) => x.DType switch
        {
            DType.F64 => x.ToArray<double>(),
            DType.BF16 => Array.ConvertAll(x.ToArray<BFloat16>(), v => (double)(float)v),
            _ => Array.ConvertAll(x.ToArray<float>(), v => (double)v),
        };

        private static int[] Documents(Setting s)
        {
            Random random = new(5);
            int[] ranges = new int[s.Batch * s.Queries * 2];
            for (int i = 0; i < s.Batch * s.Queries; i++)
            {
                // Around the query's own position; beyond both ends as well, which must be harmless.
                int position = s.Keys - s.Queries + (i % s.Queries), start = position - random.Next(20);
                (ranges[2 * i], ranges[(2 * i) + 1]) = i % 7 == 3 ? (5, 5) : (start, position + 1 + random.Next(20));
            }

            return ranges;
        }
    }
}
