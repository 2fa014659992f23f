namespace Graft.Runtime;

/// <summary>Softmax, its logarithm, log-sum-exp and cross-entropy on CUDA: softmax.cu, cross_entropy.cu.</summary>
internal static class SoftmaxCuda
{
    private const int HeldElements = 16;
    private const int MaxThreads = 1024;
    private static readonly Kernel s_softmax = new("softmax", "softmax_forward");
    private static readonly Kernel s_softmaxBackward = new("softmax", "softmax_backward");
    private static readonly Kernel s_logSoftmax = new("softmax", "log_softmax_forward");
    private static readonly Kernel s_logSoftmaxBackward = new("softmax", "log_softmax_backward");
    private static readonly Kernel s_logSumExp = new("softmax", "log_sum_exp_forward");
    private static readonly Kernel s_logSumExpBackward = new("softmax", "log_sum_exp_backward");
    private static readonly Kernel s_crossEntropy = new("cross_entropy", "cross_entropy_forward");
    private static readonly Kernel s_crossEntropyBackward = new("cross_entropy", "cross_entropy_backward");

    public static void Softmax(CudaCall c) => Forward(c, s_softmax);

    public static void LogSoftmax(CudaCall c) => Forward(c, s_logSoftmax);

    public static void LogSumExp(CudaCall c) => Forward(c, s_logSumExp);

    public static void SoftmaxBackward(BackwardCall c, GradientMemory dx) => Backward(c, s_softmaxBackward, c.Output, dx);

    public static void LogSoftmaxBackward(BackwardCall c, GradientMemory dx) => Backward(c, s_logSoftmaxBackward, c.Output, dx);

    public static void LogSumExpBackward(BackwardCall c, GradientMemory dx)
    {
        Tensor to = dx.Tensor!, x = c.Input(0);
        if (to.Shape.Count > 0)
        {
            RowLaunch rows = Rows(to.Shape, to.DType);
            c.Cuda.Launch(
                s_logSumExpBackward, to.DType, rows.Shape, x, c.Output, c.OutputGradient, to, to.Shape.Rows, to.Shape.Last, rows.ByWarp, dx.Adds);
        }
    }

    public static void CrossEntropy(CudaCall c, in CrossEntropy op)
    {
        Tensor x = c.Input(0);
        if (c.Output.Shape.Count > 0)
        {
            RowLaunch rows = Rows(x.Shape, x.DType);
            c.Device.Launch(
                s_crossEntropy, x.DType, rows.Shape,
                x, c.Input(1), c.Count > 2 ? c.Input(2) : null, op.Smoothing, op.IgnoreIndex, c.Output, c.Saved(), x.Shape.Rows, x.Shape.Last, rows.ByWarp,
                c.Device.ErrorFlag);
        }
    }

    public static void CrossEntropyBackward(BackwardCall c, in CrossEntropy op, GradientMemory dx)
    {
        Tensor to = dx.Tensor!, x = c.Input(0);
        if (to.Shape.Count > 0)
        {
            RowLaunch rows = Rows(to.Shape, to.DType);
            c.Cuda.Launch(
                s_crossEntropyBackward, to.DType, rows.Shape,
                x, c.Input(1), c.Count > 2 ? c.Input(2) : null, op.Smoothing, op.IgnoreIndex, c.Saved(), c.OutputGradient, to, to.Shape.Rows, to.Shape.Last,
                rows.ByWarp, dx.Adds);
        }
    }

    private static void Forward(CudaCall c, Kernel kernel)
    {
        Tensor x = c.Input(0);
        if (c.Output.Shape.Count > 0)
        {
            RowLaunch rows = Rows(x.Shape, x.DType);
            c.Device.Launch(kernel, x.DType, rows.Shape, x, c.Output, x.Shape.Rows, x.Shape.Last, rows.ByWarp);
        }
    }

    private static void Backward(BackwardCall c, Kernel kernel, Tensor y, GradientMemory dx)
    {
        Tensor to = dx.Tensor!;
        if (to.Shape.Count > 0)
        {
            RowLaunch rows = Rows(to.Shape, to.DType);
            c.Cuda.Launch(kernel, to.DType, rows.Shape, y, c.OutputGradient, to, to.Shape.Rows, to.Shape.Last, rows.ByWarp, dx.Adds);
        }
    }

    private static RowLaunch Rows(Shape shape, DType dtype) => RowLaunch.Of(shape.Rows, shape.Last, dtype, HeldElements * dtype.Size() / 16, MaxThreads);
}
