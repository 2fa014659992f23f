using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>y = x + term.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA) of any shape; y the same.</remarks>
/// <param name="Term">The term.</param>
public readonly record struct AddScalar(double Term) : IOp<AddScalar>
{
    private static readonly UnaryKernels s_cuda = new("add_scalar");

    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("add_scalar", 1);

    /// <inheritdoc/>
    public static void Infer(in AddScalar op, ref InferCall c) => UnaryOps.Infer(ref c);

    /// <inheritdoc/>
    public static Tensor Reference(in AddScalar op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in AddScalar op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Forward(in AddScalar op, CpuCall c) => UnaryOps.Forward(c, new AddScalarOperator(op.Term));

    /// <inheritdoc/>
    public static void Forward(in AddScalar op, CudaCall c) => s_cuda.Forward(c, op.Term);

    /// <inheritdoc/>
    public static void Backward(in AddScalar op, BackwardCall c) => c.Accumulate(0, c.OutputGradient);
}

/// <summary><see cref="Runtime.AddScalar"/> on a tape.</summary>
public static class AddScalarExtensions
{
    extension(Tape t)
    {
        /// <summary>y = x + term.</summary>
        public Tensor AddScalar(Tensor x, double term) => t.Apply(new AddScalar(term), x);
    }
}
