using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = max(x, 0)².</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct ReluSquared : IOp<ReluSquared>
{
    private static readonly UnaryKernels s_cuda = new("relu_squared");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("relu_squared", 1, "arXiv:2109.08668", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in ReluSquared op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in ReluSquared op, Tape t, ReadOnlySpan<Tensor> x) => t.Square(t.Relu(x[0]));

    /// <inheritdoc/>
    public static Saves Saves(in ReluSquared op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in ReluSquared op, CpuCall c) => UnaryOps.Forward(c, default(ReluSquaredOperator));

    /// <inheritdoc/>
    public static void Forward(in ReluSquared op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in ReluSquared op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(ReluSquaredBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.ReluSquared"/> on a tape.</summary>
public static class ReluSquaredExtensions
{
    extension(Tape t)
    {
        /// <summary>y = max(x, 0)².</summary>
        public Tensor ReluSquared(Tensor x) => t.Apply(default(ReluSquared), x);
    }
}
