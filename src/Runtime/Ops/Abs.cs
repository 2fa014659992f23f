using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = |x|; the slope at 0 is 0.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Abs : IOp<Abs>
{
    private static readonly UnaryKernels s_cuda = new("abs");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("abs", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Abs op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Abs op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Abs op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in Abs op, CpuCall c) => UnaryOps.Forward(c, default(AbsOperator));

    /// <inheritdoc/>
    public static void Forward(in Abs op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Abs op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(AbsBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Abs"/> on a tape.</summary>
public static class AbsExtensions
{
    extension(Tape t)
    {
        /// <summary>y = |x|; the slope at 0 is 0.</summary>
        public Tensor Abs(Tensor x) => t.Apply(default(Abs), x);
    }
}
