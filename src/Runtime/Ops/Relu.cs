using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = max(x, 0); the slope at 0 is 0.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Relu : IOp<Relu>
{
    private static readonly UnaryKernels s_cuda = new("relu");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("relu", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Relu op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Relu op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Relu op, Needs needs) => Runtime.Saves.Nothing.Output();

    /// <inheritdoc/>
    public static void Forward(in Relu op, CpuCall c) => UnaryOps.Forward(c, default(ReluOperator));

    /// <inheritdoc/>
    public static void Forward(in Relu op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Relu op, BackwardCall c) => UnaryOps.Backward(c, c.Output, default(ReluBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Relu"/> on a tape.</summary>
public static class ReluExtensions
{
    extension(Tape t)
    {
        /// <summary>y = max(x, 0); the slope at 0 is 0.</summary>
        public Tensor Relu(Tensor x) => t.Apply(default(Relu), x);
    }
}
