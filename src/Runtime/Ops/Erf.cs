using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = erf x.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Erf : IOp<Erf>
{
    private static readonly UnaryKernels s_cuda = new("erf");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("erf", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Erf op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Erf op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Erf op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in Erf op, CpuCall c) => UnaryOps.Forward(c, default(ErfOperator));

    /// <inheritdoc/>
    public static void Forward(in Erf op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Erf op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(ErfBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Erf"/> on a tape.</summary>
public static class ErfExtensions
{
    extension(Tape t)
    {
        /// <summary>y = erf x.</summary>
        public Tensor Erf(Tensor x) => t.Apply(default(Erf), x);
    }
}
