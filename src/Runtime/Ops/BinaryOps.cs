using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>What elementwise ops of two inputs share: the common shape, and sums over repeated axes on the way back.</summary>
internal static class BinaryOps
{
    public static void Infer(ref InferCall c)
    {
        c.RequireActivation(0);
        c.RequireType(1, c.Input(0).DType);
        if (!BroadcastPlan.TryCombine(c.Shape(0), c.Shape(1), out Shape shape))
        {
            c.Fail("axes, matched from the last, must have equal lengths or length 1");
        }

        c.Output(shape, c.Input(0).DType);
    }

    public static void Forward<TOperator>(CpuCall c, TOperator op)
        where TOperator : struct, IBinaryOperator
    {
        Tensor x = c.Input(0), y = c.Input(1), z = c.Output;
        if (z.DType == DType.F64)
        {
            Broadcasting.Run(x.Shape, x.AsReadOnlySpan<double>(), y.Shape, y.AsReadOnlySpan<double>(), z.Shape, z.AsSpan<double>(), op);
            return;
        }

        Broadcasting.Run(c.Team, x.Shape, x.AsReadOnlySpan<float>(), y.Shape, y.AsReadOnlySpan<float>(), z.Shape, z.AsSpan<float>(), op);
    }

    /// <summary>Gives input <paramref name="i"/> a gradient of the output's shape, summed over the axes along which the input was repeated.</summary>
    public static void Accumulate(BackwardCall c, int i, Tensor gradient) => c.Accumulate(i, Reduced(c, gradient, c.InputSpec(i).Shape));

    /// <summary>The gradient summed over the axes that <paramref name="shape"/> lacks or has with length 1; itself if there are none.</summary>
    public static Tensor Reduced(BackwardCall c, Tensor gradient, Shape shape)
    {
        Tensor at = gradient;
        for (int end = at.Shape.Rank; end > 0; end--)
        {
            int begin = end;
            while (begin > 0 && IsRepeated(at.Shape, begin - 1, shape))
            {
                begin--;
            }

            if (begin < end)
            {
                at = c.Tape.Sum(at, begin, end - begin, keepAxes: true);
                end = begin + 1; // the axis before these is not repeated
            }
        }

        return at;
    }

    private static bool IsRepeated(Shape gradient, int axis, Shape input)
    {
        int at = axis - (gradient.Rank - input.Rank);
        return gradient[axis] != 1 && (at < 0 || input[at] == 1);
    }
}
