using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = e^x / Σ e^x over the last axis.</summary>
/// <remarks>x (..., C) F32 → y (..., C). The largest element is subtracted first; a row of -∞ alone gives NaN.</remarks>
public readonly record struct Softmax : IOp<Softmax>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("softmax", 1);

    /// <inheritdoc/>
    public static void Infer(in Softmax op, ref InferCall c)
    {
        c.RequireType(0, DType.F32);
        c.Require(c.Shape(0).Rank > 0, "the input must have an axis to reduce");
        c.Output(c.Shape(0), DType.F32);
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
    public static void Backward(in Softmax op, BackwardCall c)
    {
        Tensor dx = GradientTarget.Open(c, 0, out bool add);
        if (c.OnCpu)
        {
            Shape shape = dx.Shape;
            int rows = checked((int)shape.Rows);
            SoftmaxKernels.Backward(c.Team, rows, shape.Last, c.Output.AsReadOnlySpan<float>(), c.OutputGradient.AsReadOnlySpan<float>(), dx.AsSpan<float>());
        }

        GradientTarget.Close(c, 0, dx, add);
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
