namespace Graft.Runtime;

/// <summary>The two kernels of a function of one element in unary.cu: name_forward and name_backward.</summary>
/// <param name="name">The name of its line there.</param>
internal sealed class UnaryKernels(string name)
{
    private readonly Kernel _forward = new("unary", name + "_forward");
    private readonly Kernel _backward = new("unary", name + "_backward");

    /// <summary>y = f(x); p is the function's argument.</summary>
    public void Forward(CudaCall c, double p = 0)
    {
        Tensor x = c.Input(0);
        c.Device.Launch(_forward, x.DType, ElementwiseCuda.Over(x.DType, x.Shape.Count), x, c.Output, x.Shape.Count, (float)p);
    }

    /// <summary>dx = f'(from, dy), or dx += that.</summary>
    public void Backward(CudaDevice device, Tensor from, Tensor dy, GradientMemory dx, double p)
        => device.Launch(_backward, dy.DType, ElementwiseCuda.Over(dy.DType, dy.Shape.Count), from, dy, dx.Memory, dy.Shape.Count, (float)p, dx.Adds);
}
