using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x where positive, else slope · x.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
/// <param name="Slope">The slope of the negative side; PyTorch's default is 0.01.</param>
public readonly record struct LeakyRelu(double Slope) : IOp<LeakyRelu>
{
    private static readonly UnaryKernels s_cuda = new("leaky_relu");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("leaky_relu", 1, Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in LeakyRelu op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in LeakyRelu op, Tape t, ReadOnlySpan<Tensor> x) => t.Sub(t.Relu(x[0]), t.Scale(t.Relu(t.Neg(x[0])), op.Slope));

    /// <inheritdoc/>
    public static Saves Saves(in LeakyRelu op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in LeakyRelu op, CpuCall c) => UnaryOps.Forward(c, new LeakyReluOperator(op.Slope));

    /// <inheritdoc/>
    public static void Forward(in LeakyRelu op, CudaCall c) => s_cuda.Forward(c, op.Slope);

    /// <inheritdoc/>
    public static void Backward(in LeakyRelu op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), new LeakyReluBackwardOperator(op.Slope), s_cuda, op.Slope);
}

/// <summary><see cref="Runtime.LeakyRelu"/> on a tape.</summary>
public static class LeakyReluExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x where positive, else slope · x.</summary>
        public Tensor LeakyRelu(Tensor x, double slope = 0.01) => t.Apply(new LeakyRelu(slope), x);
    }
}
