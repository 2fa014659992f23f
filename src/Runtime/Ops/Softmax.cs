using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = e^x / Σ e^x over the last axis.</summary>
/// <remarks>x (..., C) F32 (BF16 on CUDA) → y (..., C) as x. The largest element is subtracted first; a row of -∞ alone gives NaN.</remarks>
public readonly record struct Softmax : IOp<Softmax>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("softmax", 1);

    /// <inheritdoc/>
    public static void Infer(in Softmax op, ref InferCall c)
    {
        c.RequireActivation(0, doubles: false);
        c.Require(c.Shape(0).Rank > 0, "the input must have an axis to reduce");
        c.Output(c.Shape(0), c.Input(0).DType);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in Softmax op, Tape t, ReadOnlySpan<Tensor> x)
    {
        Tensor e = t.Exp(t.Sub(x[0], Tape.Detach(t.Max(x[0], -1, keepAxes: true))));
        return t.Div(e, t.Sum(e, -1, keepAxes: true));
    }

    /// <inheritdoc/>
    public static Saves Saves(in Softmax op, Needs needs) => Runtime.Saves.Nothing.Output();

    /// <inheritdoc/>
    public static void Forward(in Softmax op, CpuCall c)
    {
        Shape shape = c.Input(0).Shape;
        SoftmaxKernels.Forward(c.Team, checked((int)shape.Rows), shape.Last, c.Input(0).AsReadOnlySpan<float>(), c.Output.AsSpan<float>());
    }

    /// <inheritdoc/>
    public static void Forward(in Softmax op, CudaCall c) => SoftmaxCuda.Softmax(c);

    /// <inheritdoc/>
    public static void Backward(in Softmax op, BackwardCall c)
    {
        GradientMemory dx = GradientMemory.Open(c, 0);
        if (c.OnCpu)
        {
            Shape shape = dx.Tensor!.Shape;
            int rows = checked((int)shape.Rows);
            SoftmaxKernels.Backward(c.Team, rows, shape.Last, c.Output.AsReadOnlySpan<float>(), c.OutputGradient.AsReadOnlySpan<float>(), dx.Tensor.AsSpan<float>());
        }
        else if (c.OnCuda)
        {
            SoftmaxCuda.SoftmaxBackward(c, dx);
        }

        dx.Close(c);
    }
}

/// <summary><see cref="Runtime.Softmax"/> on a tape.</summary>
public static class SoftmaxExtensions
{
    extension(Tape t)
    {
        /// <summary>y = e^x / Σ e^x over the last axis.</summary>
        public Tensor Softmax(Tensor x) => t.Apply(default(Softmax), x);
    }
}
