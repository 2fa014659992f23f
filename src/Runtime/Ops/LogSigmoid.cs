using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = log sigmoid(x).</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
public readonly record struct LogSigmoid : IOp<LogSigmoid>
{
    private static readonly UnaryKernels s_cuda = new("log_sigmoid");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("log_sigmoid", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in LogSigmoid op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in LogSigmoid op, Tape t, ReadOnlySpan<Tensor> x) => t.Log(t.Sigmoid(x[0]));

    /// <inheritdoc/>
    public static Saves Saves(in LogSigmoid op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in LogSigmoid op, CpuCall c) => UnaryOps.Forward(c, default(LogSigmoidOperator));

    /// <inheritdoc/>
    public static void Forward(in LogSigmoid op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in LogSigmoid op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), default(LogSigmoidBackwardOperator), s_cuda);
}

/// <summary><see cref="Runtime.LogSigmoid"/> on a tape.</summary>
public static class LogSigmoidExtensions
{
    extension(Tape t)
    {
        /// <summary>y = log sigmoid(x).</summary>
        public Tensor LogSigmoid(Tensor x) => t.Apply(default(LogSigmoid), x);
    }
}
