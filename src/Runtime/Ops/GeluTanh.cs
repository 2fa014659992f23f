using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))): GPT-2's form.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct GeluTanh : IOp<GeluTanh>
{
    private static readonly UnaryKernels s_cuda = new("gelu_tanh");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("gelu_tanh", 1, "arXiv:1606.08415", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in GeluTanh op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in GeluTanh op, Tape t, ReadOnlySpan<Tensor> x)
    {
        Tensor inner = t.Scale(t.Mul(x[0], t.AddScalar(t.Scale(t.Square(x[0]), 0.044715), 1)), Math.Sqrt(2 / Math.PI));
        return t.Mul(t.Scale(x[0], 0.5), t.AddScalar(t.Tanh(inner), 1));
    }

    /// <inheritdoc/>
    public static Saves Saves(in GeluTanh op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in GeluTanh op, CpuCall c) => UnaryOps.Forward(c, default(GeluTanhOperator));

    /// <inheritdoc/>
    public static void Forward(in GeluTanh op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in GeluTanh op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(GeluTanhBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.GeluTanh"/> on a tape.</summary>
public static class GeluTanhExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))): GPT-2's form.</summary>
        public Tensor GeluTanh(Tensor x) => t.Apply(default(GeluTanh), x);
    }
}
