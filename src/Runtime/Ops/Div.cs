using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>z = x / y, element by element; axes of length 1, and missing leading ones, are repeated as in NumPy.</summary>
/// <remarks>x and y F32 or F64 (F32 or BF16 on CUDA) alike; z has the common shape.</remarks>
public readonly record struct Div : IOp<Div>
{
    private static readonly BinaryKernels s_cuda = new("div");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("div", 2);

    /// <inheritdoc/>
    public static void Infer(in Div op, ref InferCall c) => BinaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Div op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Div op, Needs needs) => Runtime.Saves.Nothing.Input(1).Output(0, needs[1]);

    /// <inheritdoc/>
    public static void Forward(in Div op, CpuCall c) => BinaryOps.Forward(c, default(DivideOperator));

    /// <inheritdoc/>
    public static void Forward(in Div op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Div op, BackwardCall c)
    {
        Tensor dx = c.Tape.Div(c.OutputGradient, c.Input(1));
        if (c.Needs(1))
        {
            BinaryOps.Accumulate(c, 1, c.Tape.Neg(BinaryOps.Reduced(c, c.Tape.Mul(dx, c.Output), c.InputSpec(1).Shape)));
        }

        if (c.Needs(0))
        {
            BinaryOps.Accumulate(c, 0, dx);
        }
    }
}

/// <summary><see cref="Runtime.Div"/> on a tape.</summary>
public static class DivExtensions
{
    extension(Tape t)
    {
        /// <summary>x / y with NumPy's repetition of axes.</summary>
        public Tensor Div(Tensor x, Tensor y) => t.Apply(default(Div), x, y);
    }
}
