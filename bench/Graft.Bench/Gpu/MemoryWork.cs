using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Bench.Gpu;

/// <summary>Kernels that move memory and little else, at C = 4096, 8192 rows, BF16: the share of the card's copy bandwidth.</summary>
internal static class MemoryWork
{
    // Launches of a sample: together they read and write several times what the second-level cache holds, and the events' own time is shared among them.
    private const int Launches = 8;


    public static IEnumerable<GpuRow> Run(CudaDevice device, GpuOptions options)
    {
        using GpuTimer timer = new(device, options);
        using Arena weights = new(device, "inputs");
        int n = options.Size(8192, 16), c = options.Size(4096, 64);
        Shape rows = new(n, c);
        Tensor x = Draw.Normal(weights, rows, DType.BF16, 1, 1), y = Draw.Normal(weights, rows, DType.BF16, 1, 2);
        Tensor w = Draw.Normal(weights, new Shape(c), DType.F32, 1, 3), b = Draw.Normal(weights, new Shape(c), DType.F32, 1, 4);
        Tensor labels = Draw.Integers(weights, new Shape(n), c);
        int size = options.Size(128, 32);
        RotaryTable table = RotaryTable.Create(weights, new RotaryOptions(size), n);
        Tensor positions = weights.Create<int>(new Shape(n), [.. Enumerable.Range(0, n)], MemoryCategory.Weights);
        Tensor heads = Draw.Normal(weights, new Shape(n, c / size, size), DType.BF16, 1, 5);
        double one = 2.0 * n * c; // bytes of one tensor

        Case[] cases =
        [
            new("add", t => t.Add(x, y), 3 * one, 0),
            new("rms_norm", t => t.RmsNorm(t.Watch(x), w, 1e-5f), 2 * one, 3 * one),
            new("layer_norm", t => t.LayerNorm(t.Watch(x), w, b, 1e-5f), 2 * one, 3 * one),
            new("softmax", t => t.Softmax(t.Watch(x)), 2 * one, 3 * one),
            new("swiglu", t => t.SwiGlu(t.Watch(x), t.Watch(y)), 3 * one, 5 * one),
            new("rotary", t => t.RotaryEmbedding(t.Watch(heads), table, positions), 2 * one, 2 * one),
            new("cross_entropy", t => t.CrossEntropy(t.Watch(x), labels), one, 2 * one),
        ];
        foreach (Case item in cases)
        {
            foreach (GpuRow row in Measure(device, timer, options, item, $"{n} x {c} bf16"))
            {
                yield return row;
            }
        }

        yield return Optimizer(device, timer, options, n * c);
    }

    private static IEnumerable<GpuRow> Measure(CudaDevice device, GpuTimer timer, GpuOptions options, Case item, string sizes)
    {
        using Arena step = new(device, item.Name);
        List<(Tape Tape, Tensor Y)> recorded = [];
        bool finite = false;
        void Forwards(bool record)
        {
            for (int i = 0; i < Launches; i++)
            {
                Tape tape = record ? new Tape(step) : Tape.None(step);
                recorded.Add((tape, item.Forward(tape)));
            }
        }

        void End()
        {
            finite = Draw.IsFinite(recorded[^1].Y);
            recorded.ForEach(r => r.Tape.Dispose());
            recorded.Clear();
        }

        GpuTimes forward = timer.Measure(step, null, () => Forwards(false), End, Launches);
        yield return Row($"{item.Name} forward {sizes}", forward, item.ForwardBytes, options, !finite);
        if (item.BackwardBytes == 0)
        {
            yield break;
        }

        Tensor? dy = null;
        GpuTimes backward = timer.Measure(
            step,
            () =>
            {
                Forwards(true);
                dy = step.Allocate(recorded[0].Y.Shape, recorded[0].Y.DType, MemoryCategory.Activations);
                Draw.Fill(dy, 1, 7);
            },
            () => recorded.ForEach(r => r.Tape.Backward(r.Y, dy!)),
            End,
            Launches);
        yield return Row($"{item.Name} backward {sizes}", backward, item.BackwardBytes, options, !finite);
    }

    /// <summary>AdamW on one flat block of F32: parameter, mean and square are read and written, the gradient is read.</summary>
    private static GpuRow Optimizer(CudaDevice device, GpuTimer timer, GpuOptions options, int count)
    {
        using Arena arena = new(device, "optimizer");
        Parameter parameter = new("flat", Draw.Normal(arena, new Shape(count), DType.F32, 0.02), trainable: true);
        using ParameterSet set = new([parameter], arena);
        Optimizer optimizer = new(set, new AdamW(), 1e-4);
        GpuTimes times = timer.Measure(
            null,
            () =>
            {
                Tensor gradient = parameter.GradientTarget(out _);
                Draw.Fill(gradient, 1e-3, 8);
            },
            optimizer.Update,
            set.ClearGradients);
        return Row($"adamw {count} f32", times, 28.0 * count, options, !Draw.IsFinite(parameter.Value));
    }

    private static GpuRow Row(string name, GpuTimes times, double bytes, GpuOptions options, bool failed) => new($"memory: {name}", "GB/s", bytes / times.Median / 1e6)
    {
        P90 = bytes / times.P90 / 1e6,
        Rounds = times.Count,
        Limit = options.Limits().CopyGBs,
        LimitTarget = 0.9,
        Failed = failed,
        Note = FormattableString.Invariant($"{times.Median * 1e3:F1} us for {bytes / 1e6:F1} MB{(failed ? "; NOT FINITE" : "")}"),
    };

    /// <param name="Name">Of the op.</param>
    /// <param name="Forward">One launch.</param>
    /// <param name="ForwardBytes">What must be read and written at least.</param>
    /// <param name="BackwardBytes">The same backward; 0 where it is not measured.</param>
    private sealed record Case(string Name, Func<Tape, Tensor> Forward, double ForwardBytes, double BackwardBytes);
}
