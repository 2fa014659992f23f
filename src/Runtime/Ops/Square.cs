using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x².</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Square : IOp<Square>
{
    private static readonly UnaryKernels s_cuda = new("square");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("square", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Square op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Square op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Square op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in Square op, CpuCall c) => UnaryOps.Forward(c, default(SquareOperator));

    /// <inheritdoc/>
    public static void Forward(in Square op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Square op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(SquareBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Square"/> on a tape.</summary>
public static class SquareExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x².</summary>
        public Tensor Square(Tensor x) => t.Apply(default(Square), x);
    }
}
