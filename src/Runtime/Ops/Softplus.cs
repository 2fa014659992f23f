using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = log(1 + e^x).</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Softplus : IOp<Softplus>
{
    private static readonly UnaryKernels s_cuda = new("softplus");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("softplus", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Softplus op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Softplus op, Tape t, ReadOnlySpan<Tensor> x) => t.Add(t.Relu(x[0]), t.Log(t.AddScalar(t.Exp(t.Neg(t.Abs(x[0]))), 1)));

    /// <inheritdoc/>
    public static Saves Saves(in Softplus op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in Softplus op, CpuCall c) => UnaryOps.Forward(c, default(SoftplusOperator));

    /// <inheritdoc/>
    public static void Forward(in Softplus op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Softplus op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(SoftplusBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Softplus"/> on a tape.</summary>
public static class SoftplusExtensions
{
    extension(Tape t)
    {
        /// <summary>y = log(1 + e^x).</summary>
        public Tensor Softplus(Tensor x) => t.Apply(default(Softplus), x);
    }
}
