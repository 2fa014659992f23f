using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = log Σ e^x over the last axis.</summary>
/// <remarks>x (..., C) F32 (BF16 on CUDA) → y (...) as x. A row of -∞ alone gives -∞.</remarks>
public readonly record struct LogSumExp : IOp<LogSumExp>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("log_sum_exp", 1);

    /// <inheritdoc/>
    public static void Infer(in LogSumExp op, ref InferCall c)
    {
        c.RequireActivation(0, doubles: false);
        c.Require(c.Shape(0).Rank > 0, "the input must have an axis to reduce");
        c.Output(c.Shape(0).WithoutLast(), c.Input(0).DType);
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
    public static void Forward(in LogSumExp op, CudaCall c) => SoftmaxCuda.LogSumExp(c);

    /// <inheritdoc/>
    public static void Backward(in LogSumExp op, BackwardCall c)
    {
        GradientMemory dx = GradientMemory.Open(c, 0);
        if (c.OnCpu)
        {
            Shape shape = dx.Tensor!.Shape;
            int rows = checked((int)shape.Rows);
            SoftmaxKernels.LogSumExpBackward(
                c.Team, rows, shape.Last, c.Input(0).AsReadOnlySpan<float>(), c.Output.AsReadOnlySpan<float>(), c.OutputGradient.AsReadOnlySpan<float>(), dx.Tensor.AsSpan<float>());
        }
        else if (c.OnCuda)
        {
            SoftmaxCuda.LogSumExpBackward(c, dx);
        }

        dx.Close(c);
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
