using System.Globalization;
using System.Runtime.InteropServices;
using Graft.Bench.Peers;
using Graft.Bench.Report;
using Graft.Runtime;
using Graft.Runtime.Cpu;
using TorchSharp;

namespace Graft.Bench.Works;

/// <summary>F32 matrix products C = op(A)·op(B), all processors. Both sides write into existing memory (the peer by addmm_ with beta 0).</summary>
internal sealed class SgemmWork : IWork
{
    private static readonly Product[] s_products =
    [
        new("512", 512, 512, 512) { Target = 1.3, Square = true },
        new("1024", 1024, 1024, 1024) { Target = 1.8, Square = true },
        new("2048", 2048, 2048, 2048) { Target = 1.8, Square = true },
        new("4096", 4096, 4096, 4096) { Target = 1.8, Square = true },
        new("1024 A transposed", 1024, 1024, 1024, TransposeA: true) { Target = 1.8 },
        new("1024 B transposed", 1024, 1024, 1024, TransposeB: true) { Target = 1.8 },
        new("1024 both transposed", 1024, 1024, 1024, TransposeA: true, TransposeB: true) { Target = 1.8 },
        .. Frozen("SmolLM2", 1024, ("q", 576, 576), ("k", 192, 576), ("gate", 1536, 576), ("down", 576, 1536), ("head", 49152, 576)),
        .. Trained("GPT-2", 256, ("attention in", 2304, 768), ("attention out", 768, 768), ("up", 3072, 768), ("down", 768, 3072), ("head", 50257, 768)),
        .. Lora(4),
        .. Lora(16),
        .. Lora(64),
        new("decode", 1, 1536, 576, TransposeB: true),
    ];

    // y = x·Wᵀ and dx = dy·W for weights (outputs, inputs) that do not learn.
    private static IEnumerable<Product> Frozen(string model, int rows, params (string Name, int Outputs, int Inputs)[] layers) => layers.SelectMany(l => new Product[]
    {
        new($"{model} {l.Name}", rows, l.Outputs, l.Inputs, TransposeB: true),
        new($"{model} {l.Name} dx", rows, l.Inputs, l.Outputs),
    });

    // And dW = dyᵀ·x.
    private static IEnumerable<Product> Trained(string model, int rows, params (string Name, int Outputs, int Inputs)[] layers) => layers.SelectMany(l =>
        Frozen(model, rows, l).Append(new($"{model} {l.Name} dW", l.Outputs, l.Inputs, rows, TransposeA: true)));

    // Around a gate of SmolLM2, 576 -> 1536: u = x·Aᵀ, y += u·Bᵀ, dA = duᵀ·x, dB = dyᵀ·u.
    private static Product[] Lora(int rank) =>
    [
        new($"LoRA {rank} down", 1024, rank, 576, TransposeB: true),
        new($"LoRA {rank} up", 1024, 1536, rank, TransposeB: true),
        new($"LoRA {rank} dA", rank, 576, 1024, TransposeA: true),
        new($"LoRA {rank} dB", 1536, rank, 1024, TransposeA: true),
    ];

    /// <inheritdoc/>
    public string Name => "sgemm";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        using CpuDevice device = new();
        foreach (Product product in s_products)
        {
            if (options.Quick && product.Flop > 3e9)
            {
                continue;
            }

            foreach (BenchRow row in Run(options, device, product))
            {
                yield return row;
            }
        }
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        // Memory of a product is that of its operands on either side.
    }

    private static List<BenchRow> Run(BenchOptions options, CpuDevice device, Product p)
    {
        using Arena arena = new(device, "sgemm");
        Tensor a = Drawn(arena, "a", (long)p.M * p.K);
        Tensor b = Drawn(arena, "b", (long)p.K * p.N);
        Tensor c = arena.Allocate(new Shape(p.M * p.N), DType.F32, MemoryCategory.Activations);
        using TorchProduct? torch = Torch.IsAvailable ? new TorchProduct(p, a, b) : null;
        void Ours() => Multiply(device, p, a, b, c);
        Ours();
        string work = $"sgemm: {p.Name}, {p.M} x {p.N} x {p.K}";
        double error = torch?.LargestDifference(c.AsReadOnlySpan<float>()) ?? 0;
        (Times, Times?) times = Pair.Measure(options, Ours, torch is null ? null : torch.Run);
        List<BenchRow> rows = [BenchRow.Rate(work, "GFLOP/s", p.Flop / 1e9, times, "torch.addmm_") with { Target = p.Target, Failed = error > Allowed(p), Note = Difference(error) }];
        if (p.Square && OpenBlas.IsAvailable && !options.OursOnly)
        {
            Tensor other = arena.Allocate(c.Shape, DType.F32, MemoryCategory.Activations);
            void Theirs() => OpenBlas.Multiply(p.M, p.N, p.K, a, b, other);
            Theirs();
            double difference = Largest(c.AsReadOnlySpan<float>(), other.AsReadOnlySpan<float>());
            (Times, Times?) second = Pair.Measure(options, Ours, Theirs);
            rows.Add(BenchRow.Rate(work, "GFLOP/s", p.Flop / 1e9, second, OpenBlas.Version) with { Target = p.Target, Failed = difference > Allowed(p), Note = Difference(difference) });
        }

        if (p.Square && p.M >= 4096)
        {
            rows.Add(ShareOfPeak(options, work, p, Ours, torch is null ? null : torch.Run));
        }

        return rows;
    }

    // The peak is measured right beside the products, round by round: the clock of the machine drifts.
    private static BenchRow ShareOfPeak(BenchOptions options, string work, Product p, Action ours, Action? theirs)
    {
        List<double> rates = [], peers = [], peaks = [];
        for (int round = 0; round < options.Rounds; round++)
        {
            peaks.Add(Machine.PeakNow());
            rates.Add(p.Flop / 1e9 / Pair.Once(ours));
            if (theirs is not null)
            {
                peers.Add(p.Flop / 1e9 / Pair.Once(theirs));
            }
        }

        double peak = Times.Of(peaks).Median;
        string peer = peers.Count == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"; torch.addmm_ {Times.Of(peers).Median / peak:P0}, so that no library can be {peak / Times.Of(peers).Median:F2} times as fast");
        return new BenchRow($"{work}: share of the FMA peak", "GFLOP/s", Times.Of(rates).Median)
        {
            Peer = "FMA peak, measured in turn",
            Theirs = peak,
            Target = 0.85,
            OursSpread = Times.Of(rates).Spread,
            TheirsSpread = Times.Of(peaks).Spread,
            Rounds = rates.Count,
            Note = string.Create(CultureInfo.InvariantCulture, $"{Times.Of(rates).Median / peak:P0} of the peak{peer}"),
        };
    }

    // Rounding of sums of K products of uniform numbers in ±1, in units that grow with √K on both sides.
    private static double Allowed(Product p) => (4e-6 * Math.Sqrt(p.K)) + 1e-6;

    private static string Difference(double error) => string.Create(CultureInfo.InvariantCulture, $"largest difference {error:G2}");

    private static double Largest(ReadOnlySpan<float> ours, ReadOnlySpan<float> theirs)
    {
        double largest = 0;
        for (int i = 0; i < ours.Length; i++)
        {
            double difference = Math.Abs((double)ours[i] - theirs[i]);
            largest = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(largest, difference);
        }

        return largest;
    }

    private static unsafe void Multiply(CpuDevice device, Product p, Tensor a, Tensor b, Tensor c) => Gemm.Run(device.Team, new GemmCall
    {
        M = p.M,
        N = p.N,
        K = p.K,
        A = a.Pointer<float>(),
        LeadingA = p.TransposeA ? p.M : p.K,
        TransposeA = p.TransposeA,
        B = b.Pointer<float>(),
        LeadingB = p.TransposeB ? p.K : p.N,
        TransposeB = p.TransposeB,
        C = c.Pointer<float>(),
        LeadingC = p.N,
    });

    private static Tensor Drawn(Arena arena, string name, long count)
    {
        Tensor tensor = arena.Allocate(new Shape(checked((int)count)), DType.F32, MemoryCategory.Activations);
        new Rng(7).Stream(name).FillUniform(0, tensor.AsSpan<float>(), -1, 1);
        return tensor;
    }

    private sealed record Product(string Name, int M, int N, int K, bool TransposeA = false, bool TransposeB = false)
    {
        /// <summary>The least ratio to the peer that is wanted.</summary>
        public double Target { get; init; } = 1;

        /// <summary>Also against the second peer, and at 4096 against the peak.</summary>
        public bool Square { get; init; }

        public double Flop => 2.0 * M * N * K;
    }

    private sealed class TorchProduct : IDisposable
    {
        private readonly torch.Tensor _a;
        private readonly torch.Tensor _b;
        private readonly torch.Tensor _c;
        private readonly torch.Tensor _left;
        private readonly torch.Tensor _right;

        public TorchProduct(Product p, Tensor a, Tensor b)
        {
            _a = Torch.Create(a.AsReadOnlySpan<float>(), p.TransposeA ? [p.K, p.M] : [p.M, p.K]);
            _b = Torch.Create(b.AsReadOnlySpan<float>(), p.TransposeB ? [p.N, p.K] : [p.K, p.N]);
            _left = p.TransposeA ? _a.t() : _a.alias();
            _right = p.TransposeB ? _b.t() : _b.alias();
            _c = torch.zeros(p.M, p.N);
        }

        public void Run()
        {
            torch.Tensor same = _c.addmm_(_left, _right, 0, 1);
            if (!ReferenceEquals(same, _c))
            {
                same.Dispose();
            }
        }

        public double LargestDifference(ReadOnlySpan<float> ours)
        {
            Run();
            return Largest(ours, MemoryMarshal.Cast<byte, float>(_c.bytes));
        }

        public void Dispose()
        {
            _left.Dispose();
            _right.Dispose();
            _a.Dispose();
            _b.Dispose();
            _c.Dispose();
        }
    }
}
