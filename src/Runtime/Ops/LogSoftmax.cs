using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x - log Σ e^x over the last axis.</summary>
/// <remarks>x (..., C) F32 (BF16 on CUDA) → y (..., C) as x.</remarks>
public readonly record struct LogSoftmax : IOp<LogSoftmax>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("log_softmax", 1);

    /// <inheritdoc/>
    public static void Infer(in LogSoftmax op, ref InferCall c)
    {
        c.RequireActivation(0, doubles: false);
        c.Require(c.Shape(0).Rank > 0, "the input must have an axis to reduce");
        c.Output(c.Shape(0), c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in LogSoftmax op, Tape t, ReadOnlySpan<Tensor> x)
    {
        Tensor shifted = t.Sub(x[0], Tape.Detach(t.Max(x[0], -1, keepAxes: true)));
        return t.Sub(shifted, t.Log(t.Sum(t.Exp(shifted), -1, keepAxes: true)));
    }

    /// <inheritdoc/>
    public static Saves Saves(in LogSoftmax op, Needs needs) => Runtime.Saves.Nothing.Output();

    /// <inheritdoc/>
    public static void Forward(in LogSoftmax op, CpuCall c)
    {
        Shape shape = c.Input(0).Shape;
        SoftmaxKernels.LogForward(c.Team, checked((int)shape.Rows), shape.Last, c.Input(0).AsReadOnlySpan<float>(), c.Output.AsSpan<float>());
    }

    /// <inheritdoc/>
    public static void Forward(in LogSoftmax op, CudaCall c) => SoftmaxCuda.LogSoftmax(c);

    /// <inheritdoc/>
    public static void Backward(in LogSoftmax op, BackwardCall c)
    {
        GradientMemory dx = GradientMemory.Open(c, 0);
        if (c.OnCpu)
        {
            Shape shape = dx.Tensor!.Shape;
            int rows = checked((int)shape.Rows);
            SoftmaxKernels.LogBackward(c.Team, rows, shape.Last, c.Output.AsReadOnlySpan<float>(), c.OutputGradient.AsReadOnlySpan<float>(), dx.Tensor.AsSpan<float>());
        }
        else if (c.OnCuda)
        {
            SoftmaxCuda.LogSoftmaxBackward(c, dx);
        }

        dx.Close(c);
    }
}

/// <summary><see cref="Runtime.LogSoftmax"/> on a tape.</summary>
public static class LogSoftmaxExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x - log Σ e^x over the last axis.</summary>
        public Tensor LogSoftmax(Tensor x) => t.Apply(default(LogSoftmax), x);
    }
}
