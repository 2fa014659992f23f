using Graft.Runtime;

namespace Graft.Bench.Gpu;

/// <summary>Causal attention, BF16, D = 128, 16 heads, 16,384 tokens in rows of 1024, 4096 and 16,384.</summary>
internal static class AttentionWork
{
    public static IEnumerable<GpuRow> Run(CudaDevice device, GpuOptions options)
    {
        using GpuTimer timer = new(device, options);
        using Arena step = new(device, "attention");
        int tokens = options.Size(16384, 64), heads = options.Size(16, 2), size = 128;
        double limit = options.Limits().GemmTflops;
        foreach (int length in options.Tiny ? new[] { 32 } : [1024, 4096, 16384])
        {
            int rows = tokens / length;
            Shape shape = new(rows, length, heads, size);
            using Arena inputs = new(device, "inputs");
            Tensor q = Draw.Normal(inputs, shape, DType.BF16, 1, 1), k = Draw.Normal(inputs, shape, DType.BF16, 1, 2), v = Draw.Normal(inputs, shape, DType.BF16, 1, 3);
            Tensor dy = Draw.Normal(inputs, shape, DType.BF16, 1, 4);
            AttentionOptions causal = new();
            Tape? tape = null;
            Tensor? y = null;
            bool finite = false;
            void End()
            {
                finite = Draw.IsFinite(y!);
                tape?.Dispose();
            }

            // Two products of T x T x D, of which causality leaves half; backward has five.
            double flop = 2.0 * rows * heads * (double)length * length * size;
            GpuTimes forward = timer.Measure(step, null, () => y = Tape.None(step).ScaledDotProductAttention(q, k, v, heads, heads, causal), End);
            yield return Row("forward", length, forward, flop, limit, options.Tiny ? 0 : length == 4096 ? 1.0 : 0, !finite);
            GpuTimes backward = timer.Measure(
                step,
                () =>
                {
                    tape = new Tape(step);
                    y = tape.ScaledDotProductAttention(tape.Watch(q), tape.Watch(k), tape.Watch(v), heads, heads, causal);
                },
                () => tape!.Backward(y!, dy),
                End);
            yield return Row("backward", length, backward, 2.5 * flop, limit, length == 4096 ? 0.9 : 0, !finite);
        }
    }

    private static GpuRow Row(string what, int length, GpuTimes times, double flop, double limit, double target, bool failed) => new($"attention: {what} T={length}", "ms", times.Median)
    {
        P90 = times.P90,
        Rounds = times.Count,
        Targets = target == 0 ? new Dictionary<string, double>() : new Dictionary<string, double> { ["sdpa"] = target },
        Failed = failed,
        Note = FormattableString.Invariant($"{flop / times.Median / 1e9:F1} TFLOP/s{(limit > 0 ? $", {100 * flop / times.Median / 1e9 / limit:F0} % of the product limit" : "")}"),
    };
}
