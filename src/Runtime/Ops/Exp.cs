using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = e^x.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Exp : IOp<Exp>
{
    private static readonly UnaryKernels s_cuda = new("exp");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("exp", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Exp op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Exp op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Exp op, Needs needs) => Runtime.Saves.Nothing.Output();

    /// <inheritdoc/>
    public static void Forward(in Exp op, CpuCall c) => UnaryOps.Forward(c, default(ExpOperator));

    /// <inheritdoc/>
    public static void Forward(in Exp op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Exp op, BackwardCall c) => UnaryOps.Backward(c, c.Output, default(MultiplyOperator), s_cuda);
}

/// <summary><see cref="Runtime.Exp"/> on a tape.</summary>
public static class ExpExtensions
{
    extension(Tape t)
    {
        /// <summary>y = e^x.</summary>
        public Tensor Exp(Tensor x) => t.Apply(default(Exp), x);
    }
}
