using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x where positive, else alpha (e^x - 1).</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
/// <param name="Alpha">The limit of the negative side; PyTorch's default is 1.</param>
public readonly record struct Elu(double Alpha) : IOp<Elu>
{
    private static readonly UnaryKernels s_cuda = new("elu");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("elu", 1, "arXiv:1511.07289", Recompute: true);

    /// <inheritdoc/>
    public static void Infer(in Elu op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Elu op, Tape t, ReadOnlySpan<Tensor> x) => t.Add(t.Relu(x[0]), t.Scale(t.AddScalar(t.Exp(t.Neg(t.Relu(t.Neg(x[0])))), -1), op.Alpha));

    /// <inheritdoc/>
    public static Saves Saves(in Elu op, Needs needs) => Runtime.Saves.Nothing.Input(0);

    /// <inheritdoc/>
    public static void Forward(in Elu op, CpuCall c) => UnaryOps.Forward(c, new EluOperator(op.Alpha));

    /// <inheritdoc/>
    public static void Forward(in Elu op, CudaCall c) => s_cuda.Forward(c, op.Alpha);

    /// <inheritdoc/>
    public static void Backward(in Elu op, BackwardCall c) => UnaryOps.Backward(c, c.Input(0), new EluBackwardOperator(op.Alpha), s_cuda, op.Alpha);
}

/// <summary><see cref="Runtime.Elu"/> on a tape.</summary>
public static class EluExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x where positive, else alpha (e^x - 1).</summary>
        public Tensor Elu(Tensor x, double alpha = 1) => t.Apply(new Elu(alpha), x);
    }
}
