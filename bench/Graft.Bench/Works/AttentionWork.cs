using System.Globalization;
using System.Runtime.InteropServices;
using Graft.Bench.Peers;
using Graft.Bench.Report;
using Graft.Runtime;
using TorchSharp;
using static TorchSharp.torch.nn.functional;

namespace Graft.Bench.Works;

/// <summary>Causal attention in F32: forward alone and with backward to q, k and v, and how its memory grows with the length.</summary>
internal sealed class AttentionWork : IWork
{
    private const double Tolerance = 2e-5; // of outputs and gradients of inputs drawn from a normal distribution

    private static readonly Problem[] s_problems =
    [
        .. new int[] { 64, 128 }.SelectMany(size => new int[] { 256, 512, 1024, 2048, 4096 }.Select(length => new Problem(1, length, 8, 8, size))),
        new(4, 256, 9, 3, 64),
        new(4, 64, 12, 12, 64),
    ];

    /// <inheritdoc/>
    public string Name => "attention";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        using CpuDevice device = new();
        foreach (Problem problem in s_problems)
        {
            if (options.Quick && problem.Length > 512)
            {
                continue;
            }

            using Sides sides = new(device, problem);
            double error = sides.LargestDifference();
            string note = string.Create(CultureInfo.InvariantCulture, $"largest difference {error:G2}");
            foreach ((string what, int products, bool backward) in new[] { ("forward", 2, false), ("forward and backward", 7, true) })
            {
                (Times, Times?) times = Pair.Measure(options, () => sides.Ours(backward), Torch.IsAvailable ? () => sides.Theirs(backward) : null);
                double flop = products * problem.ProductFlop;
                yield return BenchRow.Rate($"attention: {what}, {problem}", "GFLOP/s", flop / 1e9, times, "torch.scaled_dot_product_attention") with
                {
                    Flops = flop,
                    Target = backward ? 1.5 : null,
                    Failed = error > Tolerance,
                    Note = note,
                };
            }
        }

        yield return Memory(device, options.Quick ? 256 : 4096);
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        // Memory is told by the arena's peak.
    }

    /// <summary>What forward and backward take beyond inputs, output and gradients; linear growth is asked for.</summary>
    private static BenchRow Memory(CpuDevice device, int length)
    {
        (long half, long whole) = (Extra(length / 2), Extra(length));
        double growth = (double)whole / half;
        return new BenchRow($"attention: memory of its own, T={length}", "MiB", whole / (double)(1 << 20))
        {
            Rounds = 1,
            Failed = growth > 2.05,
            Note = string.Create(CultureInfo.InvariantCulture, $"saved and workspace of forward and backward, 8 heads of 64; {growth:F2} times that of T={length / 2}"),
        };

        long Extra(int tokens)
        {
            using Sides sides = new(device, new Problem(1, tokens, 8, 8, 64));
            sides.Ours(backward: true);
            return sides.PeakBytes - (4L * tokens * 8 * 64 * sizeof(float)); // out, dq, dk, dv
        }
    }

    private sealed record Problem(int Batch, int Length, int Heads, int KeyHeads, int Size)
    {
        /// <summary>Of one product of queries and keys; causality leaves half.</summary>
        public double ProductFlop => (double)Batch * Heads * Length * (Length + 1) * Size;

        public Shape Queries => new(Batch, Length, Heads, Size);

        public Shape Keys => new(Batch, Length, KeyHeads, Size);

        public override string ToString() => $"{Batch} x T={Length}, {(Heads == KeyHeads ? "" : $"{KeyHeads} for ")}{Heads} heads of {Size}";
    }

    /// <summary>Both sides on the same numbers: ours as (B, T, H, D), the peer's contiguous in its own order (B, H, T, D).</summary>
    private sealed class Sides : IDisposable
    {
        private readonly Problem _problem;
        private readonly Arena _inputs;
        private readonly Arena _step;
        private readonly Tensor[] _x; // q, k, v and the output's gradient
        private readonly torch.Tensor[] _y = [];

        public Sides(CpuDevice device, Problem problem)
        {
            _problem = problem;
            _inputs = new Arena(device, "inputs");
            _step = new Arena(device, "attention");
            _x = [.. new Shape[] { problem.Queries, problem.Keys, problem.Keys, problem.Queries }.Select(Drawn)];
            if (Torch.IsAvailable)
            {
                _y = [.. _x.Select((x, i) => Peer(x, trained: i < 3))];
            }
        }

        public long PeakBytes => _step.Report().Peak.Total;

        public void Ours(bool backward) => _ = Ours(backward, keep: false);

        public void Theirs(bool backward) => _ = Theirs(backward, keep: false);

        /// <summary>Of the output and the three gradients; 0 without a peer.</summary>
        public double LargestDifference()
        {
            double largest = 0;
            if (_y.Length > 0)
            {
                foreach ((float ours, float theirs) in Ours(true, keep: true).Zip(Theirs(true, keep: true)))
                {
                    double difference = Math.Abs((double)ours - theirs);
                    largest = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(largest, difference);
                }
            }

            return largest;
        }

        public void Dispose()
        {
            foreach (torch.Tensor y in _y)
            {
                y.Dispose();
            }

            _step.Dispose();
            _inputs.Dispose();
        }

        private Tensor Drawn(Shape shape, int index)
        {
            Tensor tensor = _inputs.Allocate(shape, DType.F32, MemoryCategory.Weights);
            new Rng(3).At(index).Stream("attention").FillNormal(0, tensor.AsSpan<float>());
            return tensor;
        }

        private static torch.Tensor Peer(Tensor x, bool trained)
        {
            using torch.Tensor given = Torch.Create(x.AsReadOnlySpan<float>(), x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]);
            using torch.Tensor turned = given.transpose(1, 2);
            return turned.contiguous().requires_grad_(trained);
        }

        private float[] Ours(bool backward, bool keep)
        {
            using Scope scope = _step.Enter("attention");
            using Tape tape = backward ? new Tape(_step) : Tape.None(_step);
            Tensor[] x = backward ? [.. _x[..3].Select(tape.Watch)] : _x;
            Tensor y = tape.ScaledDotProductAttention(x[0], x[1], x[2], _problem.Heads, _problem.KeyHeads, new AttentionOptions());
            if (backward)
            {
                tape.Backward(y, _x[3]);
            }

            return keep ? [.. y.ToArray<float>(), .. x[..3].SelectMany(i => tape.GradientOf(i)!.ToArray<float>())] : [];
        }

        private float[] Theirs(bool backward, bool keep)
        {
            using DisposeScope scope = torch.NewDisposeScope();
            using IDisposable? inference = backward ? null : torch.inference_mode();
            torch.Tensor y = scaled_dot_product_attention(_y[0], Repeated(_y[1]), Repeated(_y[2]), is_casual: true);
            IList<torch.Tensor> gradients = backward ? torch.autograd.grad([y], [_y[0], _y[1], _y[2]], [_y[3]]) : [];
            return keep ? [.. Turned(y), .. gradients.SelectMany(Turned)] : [];
        }

        // The peer's fused attention wants as many key heads as query heads.
        private torch.Tensor Repeated(torch.Tensor x)
        {
            int group = _problem.Heads / _problem.KeyHeads;
            return group == 1 ? x : x.unsqueeze(2).expand(x.shape[0], x.shape[1], group, x.shape[2], x.shape[3]).reshape(x.shape[0], _problem.Heads, x.shape[2], x.shape[3]);
        }

        private static float[] Turned(torch.Tensor x) => MemoryMarshal.Cast<byte, float>(x.transpose(1, 2).contiguous().bytes).ToArray();
    }
}
