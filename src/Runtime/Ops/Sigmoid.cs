using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = 1 / (1 + e^-x).</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Sigmoid : IOp<Sigmoid>
{
    private static readonly UnaryKernels s_cuda = new("sigmoid");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("sigmoid", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Sigmoid op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Sigmoid op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Sigmoid op, Needs needs) => Runtime.Saves.Nothing.Output();

    /// <inheritdoc/>
    public static void Forward(in Sigmoid op, CpuCall c) => UnaryOps.Forward(c, default(SigmoidOperator));

    /// <inheritdoc/>
    public static void Forward(in Sigmoid op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Sigmoid op, BackwardCall c) => UnaryOps.Backward(c, c.Output, default(SigmoidBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Sigmoid"/> on a tape.</summary>
public static class SigmoidExtensions
{
    extension(Tape t)
    {
        /// <summary>y = 1 / (1 + e^-x).</summary>
        public Tensor Sigmoid(Tensor x) => t.Apply(default(Sigmoid), x);
    }
}
