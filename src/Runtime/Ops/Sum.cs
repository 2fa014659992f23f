using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>The sum over a run of neighbouring axes.</summary>
/// <remarks>
/// x F32 or F64 (F32 or BF16 on CUDA). Sums in an order that depends on the shape alone;
/// F32 in blocks that are added in F64 (on CUDA in F32, by a tree).
/// </remarks>
/// <param name="First">The first axis summed over.</param>
/// <param name="Axes">How many axes, from <paramref name="First"/> on.</param>
/// <param name="KeepAxes">They stay, with length 1.</param>
public readonly record struct Sum(int First, int Axes, bool KeepAxes) : IOp<Sum>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("sum", 1);

    /// <inheritdoc/>
    public static void Infer(in Sum op, ref InferCall c) => ReductionOps.Infer(ref c, op.First, op.Axes, op.KeepAxes);

    /// <inheritdoc/>
    public static Tensor Reference(in Sum op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Sum op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Forward(in Sum op, CpuCall c) => ReductionOps.Sum(c, AxisRange.Of(c.Input(0).Shape, op.First, op.Axes), 1);

    /// <inheritdoc/>
    public static void Forward(in Sum op, CudaCall c)
        => ReduceCuda.Run(c.Device, false, AxisRange.Of(c.Input(0).Shape, op.First, op.Axes), c.Input(0), c.Output, c.Workspace, 1);

    /// <inheritdoc/>
    public static void Backward(in Sum op, BackwardCall c) => ReductionOps.SumBackward(c, op.First, op.Axes, 1);
}

/// <summary><see cref="Runtime.Sum"/> on a tape.</summary>
public static class SumExtensions
{
    extension(Tape t)
    {
        /// <summary>The sum of all elements, a scalar.</summary>
        public Tensor Sum(Tensor x)
        {
            ArgumentNullException.ThrowIfNull(x);
            return t.Apply(new Sum(0, x.Shape.Rank, false), x);
        }

        /// <summary>The sum over one axis; a negative index counts from the end.</summary>
        public Tensor Sum(Tensor x, int axis, bool keepAxes = false)
        {
            ArgumentNullException.ThrowIfNull(x);
            return t.Apply(new Sum(axis < 0 ? axis + x.Shape.Rank : axis, 1, keepAxes), x);
        }

        /// <summary>The sum over axes <paramref name="first"/> to <paramref name="first"/> + <paramref name="axes"/> - 1.</summary>
        public Tensor Sum(Tensor x, int first, int axes, bool keepAxes) => t.Apply(new Sum(first, axes, keepAxes), x);
    }
}
