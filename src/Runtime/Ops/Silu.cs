using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x · sigmoid(x).</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Silu : IOp<Silu>
{
    private static readonly UnaryKernels s_cuda = new("silu");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("silu", 1, "arXiv:1606.08415", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Silu op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Silu op, Tape t, ReadOnlySpan<Tensor> x) => t.Mul(x[0], t.Sigmoid(x[0]));

    /// <inheritdoc/>
    public static Saves Saves(in Silu op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in Silu op, CpuCall c) => UnaryOps.Forward(c, default(SiluOperator));

    /// <inheritdoc/>
    public static void Forward(in Silu op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Silu op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(SiluBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Silu"/> on a tape.</summary>
public static class SiluExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x · sigmoid(x).</summary>
        public Tensor Silu(Tensor x) => t.Apply(default(Silu), x);
    }
}
