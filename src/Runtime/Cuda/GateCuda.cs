namespace Graft.Runtime;

/// <summary>swiglu.cu and rotary.cu.</summary>
internal static class GateCuda
{
    private static readonly Kernel s_swiGlu = new("swiglu", "swiglu_forward");
    private static readonly Kernel s_swiGluBackward = new("swiglu", "swiglu_backward");
    private static readonly Kernel s_swiGluBackwardGate = new("swiglu", "swiglu_backward_gate");
    private static readonly Kernel s_swiGluBackwardUp = new("swiglu", "swiglu_backward_up");
    private static readonly Kernel s_rotary = new("rotary", "rotary");

    public static void SwiGlu(CudaCall c)
    {
        Tensor y = c.Output;
        c.Device.Launch(s_swiGlu, y.DType, ElementwiseCuda.Over(y.DType, y.Shape.Count), c.Input(0), c.Input(1), y, y.Shape.Count);
    }

    /// <summary>Both gradients in one pass, or the one that is wanted.</summary>
    public static void SwiGluBackward(BackwardCall c, GradientMemory? gate, GradientMemory? up)
    {
        Tensor dy = c.OutputGradient, x = c.Input(0);
        long count = dy.Shape.Count;
        LaunchShape shape = ElementwiseCuda.Over(dy.DType, count);
        if (gate is { } g && up is { } u)
        {
            c.Cuda.Launch(s_swiGluBackward, dy.DType, shape, x, c.Input(1), dy, g.Memory, u.Memory, count, g.Adds, u.Adds);
        }
        else if (gate is { } only)
        {
            c.Cuda.Launch(s_swiGluBackwardGate, dy.DType, shape, x, c.Input(1), dy, only.Memory, count, only.Adds);
        }
        else if (up is { } other)
        {
            c.Cuda.Launch(s_swiGluBackwardUp, dy.DType, shape, x, dy, other.Memory, count, other.Adds);
        }
    }

    /// <summary>y (+)= x rotated by the angles of its positions, or back.</summary>
    public static void Rotary(CudaDevice device, Tensor x, Tensor cos, Tensor sin, Tensor positions, bool inverse, Tensor y, bool add)
    {
        int heads = y.Shape[-2], size = y.Shape.Last, half = cos.Shape.Last;
        if (y.Shape.Count > 0)
        {
            int block = IndexingCuda.Block(checked(heads * size) / 2);
            device.Launch(
                s_rotary, y.DType, new LaunchShape(y.Shape.Count / (heads * size), block), x, cos, sin, positions, (int)positions.Shape.Count, cos.Shape[0], y, heads, size, half,
                inverse ? -1f : 1f, add, device.ErrorFlag);
        }
    }
}
