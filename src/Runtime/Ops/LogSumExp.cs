using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = log Σ e^x over the last axis.</summary>
/// <remarks>x (..., C) F32 → y (...). A row of -∞ alone gives -∞.</remarks>
public readonly record struct LogSumExp : IOp<LogSumExp>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("log_sum_exp", 1);

    /// <inheritdoc/>
    public static void Infer(in LogSumExp op, ref InferCall c)
    {
        c.RequireType(0, DType.F32);
        c.Require(c.Shape(0).Rank > 0, "the input must have an axis to reduce");
        c.Output(c.Shape(0).WithoutLast(), DType.F32);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in LogSumExp op, Tape t, ReadOnlySpan<Tensor> x)
    {
        Tensor max = Tape.Detach(t.Max(x[0], -1, keepAxes: true));
        Tensor log = t.Log(t.Sum(t.Exp(t.Sub(x[0], max)), -1));
        return t.Add(t.View(max, log.Shape), log);
    }

    /// <inheritdoc/>
    public static Saves Saves(in LogSumExp op, Needs needs) => Runtime.Saves.Nothing.Input(0).Output();

    /// <inheritdoc/>
    public static void Forward(in LogSumExp op, CpuCall c)
    {
        Shape shape = c.Input(0).Shape;
        SoftmaxKernels.LogSumExp(c.Team, checked((int)shape.Rows), shape.Last, c.Input(0).AsReadOnlySpan<float>(), c.Output.AsSpan<float>());
    }

    /// <inheritdoc/>
    public static void Backward(in LogSumExp op, BackwardCall c)
    {
        Tensor dx = GradientTarget.Open(c, 0, out bool add);
        if (c.OnCpu)
        {
            Shape shape = dx.Shape;
            int rows = checked((int)shape.Rows);
            SoftmaxKernels.LogSumExpBackward(
                c.Team, rows, shape.Last, c.Input(0).AsReadOnlySpan<float>(), c.Output.AsReadOnlySpan<float>(), c.OutputGradient.AsReadOnlySpan<float>(), dx.AsSpan<float>());
        }

        GradientTarget.Close(c, 0, dx, add);
    }
}

/// <summary><see cref="Runtime.LogSumExp"/> on a tape.</summary>
public static class LogSumExpExtensions
{
    extension(Tape t)
    {
        /// <summary>y = log Σ e^x over the last axis.</summary>
        public Tensor LogSumExp(Tensor x) => t.Apply(default(LogSumExp), x);
    }
}
