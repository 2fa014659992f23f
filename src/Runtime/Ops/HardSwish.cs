using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x · clamp(x + 3, 0, 6) / 6.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct HardSwish : IOp<HardSwish>
{
    private static readonly UnaryKernels s_cuda = new("hard_swish");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("hard_swish", 1, "arXiv:1905.02244", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in HardSwish op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in HardSwish op, Tape t, ReadOnlySpan<Tensor> x) => t.Scale(t.Mul(x[0], t.Sub(t.Relu(t.AddScalar(x[0], 3)), t.Relu(t.AddScalar(x[0], -3)))), 1.0 / 6);

    /// <inheritdoc/>
    public static Saves Saves(in HardSwish op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in HardSwish op, CpuCall c) => UnaryOps.Forward(c, default(HardSwishOperator));

    /// <inheritdoc/>
    public static void Forward(in HardSwish op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in HardSwish op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(HardSwishBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.HardSwish"/> on a tape.</summary>
public static class HardSwishExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x · clamp(x + 3, 0, 6) / 6.</summary>
        public Tensor HardSwish(Tensor x) => t.Apply(default(HardSwish), x);
    }
}
