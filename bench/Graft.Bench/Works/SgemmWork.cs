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
        new("512", 512, 512, 512),
        new("1024", 1024, 1024, 1024),
        new("2048", 2048, 2048, 2048),
        new("4096", 4096, 4096, 4096),
        new("1024 A transposed", 1024, 1024, 1024, TransposeA: true),
        new("1024 B transposed", 1024, 1024, 1024, TransposeB: true),
        new("2048 B transposed", 2048, 2048, 2048, TransposeB: true),
        new("GPT-2 attention in, 256 x 2304 x 768", 256, 2304, 768),
        new("GPT-2 feed-forward, 256 x 3072 x 768", 256, 3072, 768),
        new("GPT-2 feed-forward dW, 768 x 3072 x 256", 768, 3072, 256, TransposeA: true),
        new("SmolLM2 gate, 512 x 1536 x 576", 512, 1536, 576, TransposeB: true),
        new("LoRA down, 512 x 16 x 576", 512, 16, 576, TransposeB: true),
        new("LoRA up, 512 x 1536 x 16", 512, 1536, 16, TransposeB: true),
        new("LoRA dA, 16 x 576 x 512", 16, 576, 512, TransposeA: true),
        new("GPT-2 head, 256 x 50257 x 768", 256, 50257, 768, TransposeB: true),
        new("decode, 1 x 1536 x 576", 1, 1536, 576, TransposeB: true),
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

            yield return Run(options, device, product);
        }
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        // Memory of a product is that of its operands on either side.
    }

    private static BenchRow Run(BenchOptions options, CpuDevice device, Product p)
    {
        using Arena arena = new(device, "sgemm");
        Tensor a = Drawn(arena, "a", (long)p.M * p.K);
        Tensor b = Drawn(arena, "b", (long)p.K * p.N);
        Tensor c = arena.Allocate(new Shape(p.M * p.N), DType.F32, MemoryCategory.Activations);
        using TorchProduct? theirs = Torch.IsAvailable ? new TorchProduct(p, a, b) : null;
        void Ours() => Multiply(device, p, a, b, c);
        Ours();
        double error = theirs?.LargestDifference(c.AsReadOnlySpan<float>()) ?? 0;
        // Rounding of sums of K products of uniform numbers in ±1, in units that grow with √K on both sides.
        double allowed = 4e-6 * Math.Sqrt(p.K) + 1e-6;
        (Times, Times?) times = Pair.Measure(options, Ours, theirs is null ? null : theirs.Run);
        return BenchRow.Rate($"sgemm: {p.Name}", "GFLOP/s", p.Flop / 1e9, times, "torch.addmm_") with
        {
            Target = 1,
            Failed = error > allowed,
            Note = string.Create(CultureInfo.InvariantCulture, $"largest difference {error:G2}"),
        };
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
            ReadOnlySpan<float> theirs = MemoryMarshal.Cast<byte, float>(_c.bytes);
            double largest = 0;
            for (int i = 0; i < ours.Length; i++)
            {
                double difference = Math.Abs((double)ours[i] - theirs[i]);
                largest = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(largest, difference);
            }

            return largest;
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
