using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = 1/√x.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Rsqrt : IOp<Rsqrt>
{
    private static readonly UnaryKernels s_cuda = new("rsqrt");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("rsqrt", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Rsqrt op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Rsqrt op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Rsqrt op, Needs needs) => Runtime.Saves.Nothing.Output();

    /// <inheritdoc/>
    public static void Forward(in Rsqrt op, CpuCall c) => UnaryOps.Forward(c, default(RsqrtOperator));

    /// <inheritdoc/>
    public static void Forward(in Rsqrt op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Rsqrt op, BackwardCall c) => UnaryOps.Backward(c, c.Output, default(RsqrtBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Rsqrt"/> on a tape.</summary>
public static class RsqrtExtensions
{
    extension(Tape t)
    {
        /// <summary>y = 1/√x.</summary>
        public Tensor Rsqrt(Tensor x) => t.Apply(default(Rsqrt), x);
    }
}
