using System.Runtime.InteropServices;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>What reductions over a run of axes share.</summary>
internal static class ReductionOps
{
    public static void Infer(ref InferCall c, int first, int axes, bool keep, bool sums = true)
    {
        c.RequireActivation(0);
        Shape x = c.Shape(0);
        c.Require(first >= 0 && axes >= 0 && first + axes <= x.Rank, $"axes {first} to {first + axes - 1} must exist");
        c.Output(Reduced(x, first, axes, keep), c.Input(0).DType);
        if (c.Plans == DeviceKind.Cuda)
        {
            c.Workspace(4 * ReduceCuda.Workspace(AxisRange.Of(x, first, axes)));
        }
        else if (sums && c.Input(0).DType == DType.F32)
        {
            c.Workspace(4 * AxisReductions.SumWorkspace(AxisRange.Of(x, first, axes)));
        }
    }

    public static Shape Reduced(Shape x, int first, int axes, bool keep)
    {
        Span<int> lengths = stackalloc int[Shape.MaxRank];
        int rank = 0;
        for (int i = 0; i < x.Rank; i++)
        {
            if (i < first || i >= first + axes)
            {
                lengths[rank++] = x[i];
            }
            else if (keep)
            {
                lengths[rank++] = 1;
            }
        }

        return new Shape(lengths[..rank]);
    }

    public static void Sum(CpuCall c, AxisRange range, double scale)
    {
        if (c.Output.DType == DType.F64)
        {
            AxisReductions.Sum(range, c.Input(0).AsReadOnlySpan<double>(), c.Output.AsSpan<double>(), scale);
            return;
        }

        Span<float> workspace = MemoryMarshal.Cast<byte, float>(c.Workspace());
        AxisReductions.Sum(c.Team, range, c.Input(0).AsReadOnlySpan<float>(), c.Output.AsSpan<float>(), workspace, scale);
    }

    /// <summary>dx (+)= scale · dy, repeated along the reduced axes.</summary>
    public static void SumBackward(BackwardCall c, int first, int axes, double scale)
    {
        Shape shape = c.InputSpec(0).Shape, kept = Reduced(shape, first, axes, keep: true);
        Tensor dy = c.OutputGradient;
        if (c.Plans == DeviceKind.Cuda)
        {
            GradientMemory memory = GradientMemory.Open(c, 0);
            if (c.OnCuda)
            {
                ReduceCuda.Spread(c.Cuda, AxisRange.Of(shape, first, axes), dy, memory, scale);
            }

            memory.Close(c);
            return;
        }

        Tensor dx = c.Target(0, out bool accumulate);
        if (!c.OnCpu)
        {
            return;
        }

        if (dx.DType == DType.F64)
        {
            Span<double> wide = dx.AsSpan<double>();
            if (accumulate)
            {
                Broadcasting.Run(shape, wide, kept, dy.AsReadOnlySpan<double>(), shape, wide, new AddScaledOperator(scale));
            }
            else
            {
                Broadcasting.Run(shape, wide, kept, dy.AsReadOnlySpan<double>(), shape, wide, new UnaryOps.SecondScaled(scale));
            }

            return;
        }

        Span<float> target = dx.AsSpan<float>();
        if (accumulate)
        {
            Broadcasting.Run(c.Team, shape, target, kept, dy.AsReadOnlySpan<float>(), shape, target, new AddScaledOperator(scale));
        }
        else
        {
            Broadcasting.Run(c.Team, shape, target, kept, dy.AsReadOnlySpan<float>(), shape, target, new UnaryOps.SecondScaled(scale));
        }
    }
}
