using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>z = x · y, element by element; axes of length 1, and missing leading ones, are repeated as in NumPy.</summary>
/// <remarks>x and y F32 or F64 (F32 or BF16 on CUDA) alike; z has the common shape.</remarks>
public readonly record struct Mul : IOp<Mul>
{
    private static readonly BinaryKernels s_cuda = new("mul");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("mul", 2);

    /// <inheritdoc/>
    public static void Infer(in Mul op, ref InferCall c) => BinaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Mul op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Mul op, Needs needs) => Runtime.Saves.Nothing.Input(1, needs[0]).Input(0, needs[1]);

    /// <inheritdoc/>
    public static void Forward(in Mul op, CpuCall c) => BinaryOps.Forward(c, default(MultiplyOperator));

    /// <inheritdoc/>
    public static void Forward(in Mul op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Mul op, BackwardCall c)
    {
        for (int i = 0; i < 2; i++)
        {
            if (c.Needs(i))
            {
                BinaryOps.Accumulate(c, i, c.Tape.Mul(c.OutputGradient, c.Input(1 - i)));
            }
        }
    }
}

/// <summary><see cref="Runtime.Mul"/> on a tape.</summary>
public static class MulExtensions
{
    extension(Tape t)
    {
        /// <summary>x · y with NumPy's repetition of axes.</summary>
        public Tensor Mul(Tensor x, Tensor y) => t.Apply(default(Mul), x, y);
    }
}
