using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = factor · x.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
/// <param name="Factor">The factor.</param>
public readonly record struct Scale(double Factor) : IOp<Scale>
{
    private static readonly UnaryKernels s_cuda = new("scale");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("scale", 1);

    /// <inheritdoc/>
    public static void Infer(in Scale op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Scale op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Scale op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Forward(in Scale op, CpuCall c) => UnaryOps.Forward(c, new ScaleOperator(op.Factor));

    /// <inheritdoc/>
    public static void Forward(in Scale op, CudaCall c) => s_cuda.Forward(c, op.Factor);

    /// <inheritdoc/>
    public static void Backward(in Scale op, BackwardCall c) => UnaryOps.Rescale(c, op.Factor, s_cuda);
}

/// <summary><see cref="Runtime.Scale"/> on a tape.</summary>
public static class ScaleExtensions
{
    extension(Tape t)
    {
        /// <summary>y = factor · x.</summary>
        public Tensor Scale(Tensor x, double factor) => t.Apply(new Scale(factor), x);
    }
}
