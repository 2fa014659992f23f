using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = -x.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Neg : IOp<Neg>
{
    private static readonly UnaryKernels s_cuda = new("scale");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("neg", 1);

    /// <inheritdoc/>
    public static void Infer(in Neg op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Neg op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Neg op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Forward(in Neg op, CpuCall c) => UnaryOps.Forward(c, default(NegateOperator));

    /// <inheritdoc/>
    public static void Forward(in Neg op, CudaCall c) => s_cuda.Forward(c, -1);

    /// <inheritdoc/>
    public static void Backward(in Neg op, BackwardCall c) => UnaryOps.Rescale(c, -1, s_cuda);
}

/// <summary><see cref="Runtime.Neg"/> on a tape.</summary>
public static class NegExtensions
{
    extension(Tape t)
    {
        /// <summary>y = -x.</summary>
        public Tensor Neg(Tensor x) => t.Apply(default(Neg), x);
    }
}
