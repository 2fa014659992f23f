using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = log x; -∞ at 0, NaN below.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct Log : IOp<Log>
{
    private static readonly UnaryKernels s_cuda = new("log");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("log", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Log op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Log op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Log op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in Log op, CpuCall c) => UnaryOps.Forward(c, default(LogOperator));

    /// <inheritdoc/>
    public static void Forward(in Log op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Log op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(LogBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.Log"/> on a tape.</summary>
public static class LogExtensions
{
    extension(Tape t)
    {
        /// <summary>y = log x; -∞ at 0, NaN below.</summary>
        public Tensor Log(Tensor x) => t.Apply(default(Log), x);
    }
}
