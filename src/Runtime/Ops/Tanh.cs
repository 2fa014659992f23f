using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = tanh x.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Tanh : IOp<Tanh>
{
    private static readonly UnaryKernels s_cuda = new("tanh");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("tanh", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Tanh op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Tanh op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Tanh op, Needs needs) => Runtime.Saves.Nothing.Output();

    /// <inheritdoc/>
    public static void Forward(in Tanh op, CpuCall c) => UnaryOps.Forward(c, default(TanhOperator));

    /// <inheritdoc/>
    public static void Forward(in Tanh op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Tanh op, BackwardCall c) => UnaryOps.Backward(c, c.Output, default(TanhBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Tanh"/> on a tape.</summary>
public static class TanhExtensions
{
    extension(Tape t)
    {
        /// <summary>y = tanh x.</summary>
        public Tensor Tanh(Tensor x) => t.Apply(default(Tanh), x);
    }
}
