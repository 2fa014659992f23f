using System.Numerics;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>The largest element over a run of neighbouring axes; NaN if one is, -∞ of none.</summary>
/// <remarks>x F32 or F64 (F32 or BF16 on CUDA). The gradient is shared equally by elements that are equally large, as in torch.amax.</remarks>
/// <param name="First">The first axis.</param>
/// <param name="Axes">How many axes, from <paramref name="First"/> on.</param>
/// <param name="KeepAxes">They stay, with length 1.</param>
public readonly record struct Max(int First, int Axes, bool KeepAxes) : IOp<Max>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("max", 1);

    /// <inheritdoc/>
    public static void Infer(in Max op, ref InferCall c) => ReductionOps.Infer(ref c, op.First, op.Axes, op.KeepAxes, sums: false);

    /// <inheritdoc/>
    public static Tensor Reference(in Max op, Tape t, ReadOnlySpan<Tensor> x) => t.Apply(op, x);

    /// <inheritdoc/>
    public static Saves Saves(in Max op, Needs needs) => Runtime.Saves.Nothing.Input(0).Output();

    /// <inheritdoc/>
    public static void Forward(in Max op, CpuCall c)
    {
        AxisRange range = AxisRange.Of(c.Input(0).Shape, op.First, op.Axes);
        if (c.Output.DType == DType.F64)
        {
            AxisReductions.Max(range, c.Input(0).AsReadOnlySpan<double>(), c.Output.AsSpan<double>());
            return;
        }

        AxisReductions.Max(c.Team, range, c.Input(0).AsReadOnlySpan<float>(), c.Output.AsSpan<float>());
    }

    /// <inheritdoc/>
    public static void Forward(in Max op, CudaCall c)
        => ReduceCuda.Run(c.Device, true, AxisRange.Of(c.Input(0).Shape, op.First, op.Axes), c.Input(0), c.Output, c.Workspace, 1);

    /// <inheritdoc/>
    public static void Backward(in Max op, BackwardCall c)
    {
        AxisRange range = AxisRange.Of(c.InputSpec(0).Shape, op.First, op.Axes);
        if (c.Plans == DeviceKind.Cuda)
        {
            GradientMemory memory = GradientMemory.Open(c, 0);
            if (c.OnCuda)
            {
                ReduceCuda.MaxBackward(c.Cuda, range, c.Input(0), c.Output, c.OutputGradient, memory);
            }

            memory.Close(c);
            return;
        }

        Tensor dx = c.Target(0, out bool accumulate);
        if (!c.OnCpu)
        {
            return;
        }

        if (!accumulate)
        {
            dx.Clear();
        }

        if (dx.DType == DType.F64)
        {
            Spread<double>(range, c.Input(0).AsReadOnlySpan<double>(), c.Output.AsReadOnlySpan<double>(), c.OutputGradient.AsReadOnlySpan<double>(), dx.AsSpan<double>());
            return;
        }

        Spread<float>(range, c.Input(0).AsReadOnlySpan<float>(), c.Output.AsReadOnlySpan<float>(), c.OutputGradient.AsReadOnlySpan<float>(), dx.AsSpan<float>());
    }

    private static void Spread<T>(AxisRange range, ReadOnlySpan<T> x, ReadOnlySpan<T> y, ReadOnlySpan<T> dy, Span<T> dx)
        where T : unmanaged, INumber<T>
    {
        for (int to = 0; to < y.Length; to++)
        {
            int first = (to / range.Inner * range.Count * range.Inner) + (to % range.Inner);
            int last = first + (range.Count * range.Inner);
            int equal = 0;
            for (int i = first; i < last; i += range.Inner)
            {
                equal += x[i] == y[to] ? 1 : 0;
            }

            for (int i = first; i < last && equal > 0; i += range.Inner)
            {
                if (x[i] == y[to])
                {
                    dx[i] += dy[to] / T.CreateChecked(equal);
                }
            }
        }
    }
}

/// <summary><see cref="Runtime.Max"/> on a tape.</summary>
public static class MaxExtensions
{
    extension(Tape t)
    {
        /// <summary>The largest of all elements, a scalar.</summary>
        public Tensor Max(Tensor x)
        {
            ArgumentNullException.ThrowIfNull(x);
            return t.Apply(new Max(0, x.Shape.Rank, false), x);
        }

        /// <summary>The largest over one axis; a negative index counts from the end.</summary>
        public Tensor Max(Tensor x, int axis, bool keepAxes = false)
        {
            ArgumentNullException.ThrowIfNull(x);
            return t.Apply(new Max(axis < 0 ? axis + x.Shape.Rank : axis, 1, keepAxes), x);
        }
    }
}
