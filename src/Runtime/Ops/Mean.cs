using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>The mean over a run of neighbouring axes; NaN over none.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA). Summed as <see cref="Sum"/>.</remarks>
/// <param name="First">The first axis averaged over.</param>
/// <param name="Axes">How many axes, from <paramref name="First"/> on.</param>
/// <param name="KeepAxes">They stay, with length 1.</param>
public readonly record struct Mean(int First, int Axes, bool KeepAxes) : IOp<Mean>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("mean", 1);

    /// <inheritdoc/>
    public static void Infer(in Mean op, ref InferCall c) => ReductionOps.Infer(ref c, op.First, op.Axes, op.KeepAxes);

    /// <inheritdoc/>
    public static Tensor Reference(in Mean op, Tape t, ReadOnlySpan<Tensor> x)
    {
        double count = AxisRange.Of(x[0].Shape, op.First, op.Axes).Count;
        return t.Scale(t.Sum(x[0], op.First, op.Axes, op.KeepAxes), 1 / count);
    }

    /// <inheritdoc/>
    public static Saves Saves(in Mean op, Needs needs) => Runtime.Saves.Nothing;

    /// <inheritdoc/>
    public static void Forward(in Mean op, CpuCall c)
    {
        AxisRange range = AxisRange.Of(c.Input(0).Shape, op.First, op.Axes);
        ReductionOps.Sum(c, range, 1.0 / range.Count);
    }

    /// <inheritdoc/>
    public static void Forward(in Mean op, CudaCall c)
    {
        AxisRange range = AxisRange.Of(c.Input(0).Shape, op.First, op.Axes);
        ReduceCuda.Run(c.Device, false, range, c.Input(0), c.Output, c.Workspace, 1.0 / range.Count);
    }

    /// <inheritdoc/>
    public static void Backward(in Mean op, BackwardCall c)
        => ReductionOps.SumBackward(c, op.First, op.Axes, 1.0 / AxisRange.Of(c.InputSpec(0).Shape, op.First, op.Axes).Count);
}

/// <summary><see cref="Runtime.Mean"/> on a tape.</summary>
public static class MeanExtensions
{
    extension(Tape t)
    {
        /// <summary>The mean of all elements, a scalar.</summary>
        public Tensor Mean(Tensor x)
        {
            ArgumentNullException.ThrowIfNull(x);
            return t.Apply(new Mean(0, x.Shape.Rank, false), x);
        }

        /// <summary>The mean over one axis; a negative index counts from the end.</summary>
        public Tensor Mean(Tensor x, int axis, bool keepAxes = false)
        {
            ArgumentNullException.ThrowIfNull(x);
            return t.Apply(new Mean(axis < 0 ? axis + x.Shape.Rank : axis, 1, keepAxes), x);
        }

        /// <summary>The mean over axes <paramref name="first"/> to <paramref name="first"/> + <paramref name="axes"/> - 1.</summary>
        public Tensor Mean(Tensor x, int first, int axes, bool keepAxes) => t.Apply(new Mean(first, axes, keepAxes), x);
    }
}
