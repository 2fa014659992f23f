using Graft.Runtime;

namespace Graft.Bench.Gpu;

/// <summary>The output head with its cross-entropy in one op, H = 4096, V = 128,256, 8192 rows, BF16: time, and memory beyond inputs and gradients that are asked for.</summary>
internal static class HeadWork
{
    public static IEnumerable<GpuRow> Run(CudaDevice device, GpuOptions options)
    {
        using GpuTimer timer = new(device, options);
        using Arena inputs = new(device, "inputs");
        using Arena step = new(device, "head");
        int n = options.Size(8192, 16), c = options.Size(4096, 64), v = options.Size(128256, 257);
        Tensor hidden = Draw.Normal(inputs, new Shape(n, c), DType.BF16, 1, 1);
        Parameter weight = new("head", Draw.Normal(inputs, new Shape(v, c), DType.BF16, 0.02, 2));
        Tensor targets = Draw.Integers(inputs, new Shape(n), v);
        double flop = 2.0 * n * c * v;
        foreach ((string what, bool backward, bool full) in ((string, bool, bool)[])[("forward", false, false), ("forward and backward to hidden", true, false), ("forward and backward to both", true, true)])
        {
            weight.Trainable = full;
            step.ResetPeak();
            double loss = 0;
            void Once()
            {
                using Scope scope = step.Enter(what);
                using Tape tape = backward ? new Tape(step) : Tape.None(step);
                Tensor mean = tape.Mean(tape.SelectedLogProb(backward ? tape.Watch(hidden) : hidden, weight.Value, targets));
                if (backward)
                {
                    tape.Backward(mean, -1);
                }

                weight.ClearGradient();
                if (loss == 0)
                {
                    loss = -mean.ReadScalar();
                }
            }

            GpuTimes times = timer.Measure(null, null, Once);
            double peak = step.Report().Peak.Total / (double)(1 << 20);
            double done = flop * (backward ? full ? 3 : 2 : 1);

            // Logits of N(0, 0.0004·4096·1) = N(0, 1.28²): ln V + 1.64/2.
            double expected = Math.Log(v) + (0.0004 * c / 2);
            bool failed = !(Math.Abs(loss - expected) < 0.3);
            yield return new GpuRow($"head: {what}", "ms", times.Median)
            {
                P90 = times.P90,
                Rounds = times.Count,
                Targets = backward ? new Dictionary<string, double> { ["compile"] = 1.5 } : new Dictionary<string, double>(),
                Failed = failed,
                Note = FormattableString.Invariant($"{done / times.Median / 1e9:F1} TFLOP/s without what is computed twice; loss {loss:F3}, {expected:F3} expected"),
            };
            yield return new GpuRow($"head: {what}, peak memory", "MiB", peak)
            {
                Rounds = 1,
                Targets = backward ? new Dictionary<string, double> { ["compile"] = 10 } : new Dictionary<string, double>(),
                Note = "of the step's arena: activations, workspace and the gradient of hidden; not the inputs nor the gradient of the weight",
            };
        }
    }
}
