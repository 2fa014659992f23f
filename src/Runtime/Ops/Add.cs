using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>z = x + y, element by element; axes of length 1, and missing leading ones, are repeated as in NumPy.</summary>
/// <remarks>x and y F32 or F64 (F32 or BF16 on CUDA) alike; z has the common shape.</remarks>
public readonly record struct Add : IOp<Add>
{
    private static readonly BinaryKernels s_cuda = new("add");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("add", 2);

    /// <inheritdoc/>
    public static void Infer(in Add op, ref InferCall c) => BinaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in Add op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    /// <remarks>The gradient passes by reference where no axes were repeated.</remarks>
    public static OpCost Cost(in Add op, CostCall c) => c.IsBackward && c.Input(0).Shape == c.Input(1).Shape ? default : c.Once();

    /// <inheritdoc/>
    public static Saves Saves(in Add op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Forward(in Add op, CpuCall c) => BinaryOps.Forward(c, default(AddOperator));

    /// <inheritdoc/>
    public static void Forward(in Add op, CudaCall c) => s_cuda.Forward(c);

    /// <inheritdoc/>
    public static void Backward(in Add op, BackwardCall c)
    {
        for (int i = 0; i < 2; i++)
        {
            if (c.Needs(i))
            {
                BinaryOps.Accumulate(c, i, c.OutputGradient);
            }
        }
    }
}

/// <summary><see cref="Runtime.Add"/> on a tape.</summary>
public static class AddExtensions
{
    extension(Tape t)
    {
        /// <summary>x + y with NumPy's repetition of axes.</summary>
        public Tensor Add(Tensor x, Tensor y) => t.Apply(default(Add), x, y);
    }
}
