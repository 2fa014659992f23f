using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>The two kernels of a function of two elements in binary.cu: name for equal shapes and name_broadcast for operands that repeat along axes.</summary>
/// <param name="name">The name of its line there.</param>
internal sealed class BinaryKernels(string name)
{
    private const int OuterAxes = Shape.MaxRank - 1;

    private readonly Kernel _same = new("binary", name);
    private readonly Kernel _broadcast = new("binary", name + "_broadcast");

    public void Forward(CudaCall c)
    {
        Tensor x = c.Input(0), y = c.Input(1), z = c.Output;
        LaunchShape shape = ElementwiseCuda.Over(z.DType, z.Shape.Count);
        if (x.Shape.Count == z.Shape.Count && y.Shape.Count == z.Shape.Count)
        {
            c.Device.Launch(_same, z.DType, shape, x, y, z, z.Shape.Count);
            return;
        }

        BroadcastPlan plan = BroadcastPlan.Create(x.Shape, y.Shape, z.Shape);
        int last = plan.Rank - 1;
        (long inner, long xStep, long yStep) = plan.Axis(last);
        Span<KernelArgument> arguments = stackalloc KernelArgument[7 + (3 * OuterAxes)];
        arguments[0] = x;
        arguments[1] = y;
        arguments[2] = z;
        arguments[3] = plan.Rows;
        arguments[4] = inner;
        arguments[5] = (int)xStep;
        arguments[6] = (int)yStep;
        for (int i = 0; i < OuterAxes; i++)
        {
            int axis = i - (OuterAxes - last); // padded with axes of length 1 in front
            (arguments[7 + i], arguments[7 + OuterAxes + i], arguments[7 + (2 * OuterAxes) + i]) = axis < 0 ? (1L, 0L, 0L) : plan.Axis(axis);
        }

        c.Device.Launch(_broadcast, z.DType, shape, arguments);
    }
}
