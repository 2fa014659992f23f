using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x · tanh(log(1 + e^x)).</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Mish : IOp<Mish>
{
    private static readonly UnaryKernels s_cuda = new("mish");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("mish", 1, "arXiv:1908.08681", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Mish op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Mish op, Tape t, ReadOnlySpan<Tensor> x) => t.Mul(x[0], t.Tanh(t.Softplus(x[0])));

    /// <inheritdoc/>
    public static Saves Saves(in Mish op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in Mish op, CpuCall c) => UnaryOps.Forward(c, default(MishOperator));

    /// <inheritdoc/>
    public static void Forward(in Mish op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Mish op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(MishBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Mish"/> on a tape.</summary>
public static class MishExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x · tanh(log(1 + e^x)).</summary>
        public Tensor Mish(Tensor x) => t.Apply(default(Mish), x);
    }
}
