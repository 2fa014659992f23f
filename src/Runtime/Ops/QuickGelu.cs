using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x · sigmoid(1.702 x).</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct QuickGelu : IOp<QuickGelu>
{
    private static readonly UnaryKernels s_cuda = new("quick_gelu");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("quick_gelu", 1, "arXiv:1606.08415", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in QuickGelu op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in QuickGelu op, Tape t, ReadOnlySpan<Tensor> x) => t.Mul(x[0], t.Sigmoid(t.Scale(x[0], 1.702)));

    /// <inheritdoc/>
    public static Saves Saves(in QuickGelu op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in QuickGelu op, CpuCall c) => UnaryOps.Forward(c, default(QuickGeluOperator));

    /// <inheritdoc/>
    public static void Forward(in QuickGelu op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in QuickGelu op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(QuickGeluBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.QuickGelu"/> on a tape.</summary>
public static class QuickGeluExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x · sigmoid(1.702 x).</summary>
        public Tensor QuickGelu(Tensor x) => t.Apply(default(QuickGelu), x);
    }
}
