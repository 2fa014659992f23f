using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>z = x - y, element by element; axes of length 1, and missing leading ones, are repeated as in NumPy.</summary>
/// <remarks>x and y F32 or F64 (F32 or BF16 on CUDA) alike; z has the common shape.</remarks>
public readonly record struct Sub : IOp<Sub>
{
    private static readonly BinaryKernels s_cuda = new("sub");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("sub", 2);

    /// <inheritdoc/>
    public static void Infer(in Sub op, ref InferCall c) => BinaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Sub op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Sub op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Forward(in Sub op, CpuCall c) => BinaryOps.Forward(c, default(SubtractOperator));

    /// <inheritdoc/>
    public static void Forward(in Sub op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Sub op, BackwardCall c)
    {
        if (c.Needs(0))
        {
            BinaryOps.Accumulate(c, 0, c.OutputGradient);
        }

        if (c.Needs(1))
        {
            BinaryOps.Accumulate(c, 1, c.Tape.Neg(BinaryOps.Reduced(c, c.OutputGradient, c.InputSpec(1).Shape)));
        }
    }
}

/// <summary><see cref="Runtime.Sub"/> on a tape.</summary>
public static class SubExtensions
{
    extension(Tape t)
    {
        /// <summary>x - y with NumPy's repetition of axes.</summary>
        public Tensor Sub(Tensor x, Tensor y) => t.Apply(default(Sub), x, y);
    }
}
