using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x/2 · (1 + erf(x/√2)).</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Gelu : IOp<Gelu>
{
    private static readonly UnaryKernels s_cuda = new("gelu");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("gelu", 1, "arXiv:1606.08415", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Gelu op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Gelu op, Tape t, ReadOnlySpan<Tensor> x) => t.Mul(t.Scale(x[0], 0.5), t.AddScalar(t.Erf(t.Scale(x[0], Math.Sqrt(0.5))), 1));

    /// <inheritdoc/>
    public static Saves Saves(in Gelu op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in Gelu op, CpuCall c) => UnaryOps.Forward(c, default(GeluErfOperator));

    /// <inheritdoc/>
    public static void Forward(in Gelu op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Gelu op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(GeluErfBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Gelu"/> on a tape.</summary>
public static class GeluExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x/2 · (1 + erf(x/√2)).</summary>
        public Tensor Gelu(Tensor x) => t.Apply(default(Gelu), x);
    }
}
