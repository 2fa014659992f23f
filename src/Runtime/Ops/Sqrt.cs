using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = √x.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Sqrt : IOp<Sqrt>
{
    private static readonly UnaryKernels s_cuda = new("sqrt");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("sqrt", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Sqrt op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Sqrt op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Sqrt op, Needs needs) => Runtime.Saves.Nothing.Output();

    /// <inheritdoc/>
    public static void Forward(in Sqrt op, CpuCall c) => UnaryOps.Forward(c, default(SqrtOperator));

    /// <inheritdoc/>
    public static void Forward(in Sqrt op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Sqrt op, BackwardCall c) => UnaryOps.Backward(c, c.Output, default(SqrtBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Sqrt"/> on a tape.</summary>
public static class SqrtExtensions
{
    extension(Tape t)
    {
        /// <summary>y = √x.</summary>
        public Tensor Sqrt(Tensor x) => t.Apply(default(Sqrt), x);
    }
}
