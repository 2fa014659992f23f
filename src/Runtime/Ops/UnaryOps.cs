using System.Runtime.CompilerServices;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>What elementwise ops of one input share.</summary>
internal static class UnaryOps
{
    public static void Infer(ref InferCall c)
    {
        c.RequireActivation(0);
        c.Output(c.Shape(0), c.Input(0).DType);
    }

    public static void Forward<TOperator>(CpuCall c, TOperator op)
        where TOperator : struct, IUnaryOperator
    {
        if (c.Output.DType == DType.F64)
        {
            Elementwise.Run<TOperator>(c.Input(0).AsReadOnlySpan<double>(), c.Output.AsSpan<double>(), op);
            return;
        }

        Elementwise.Run<TOperator>(c.Team, c.Input(0).AsReadOnlySpan<float>(), c.Output.AsSpan<float>(), op);
    }

    /// <summary>dx (+)= op(from, dy), from being the input or the output; the same on CUDA by <paramref name="kernels"/>, to which <paramref name="p"/> is the op's argument.</summary>
    public static void Backward<TOperator>(BackwardCall c, Tensor from, TOperator op, UnaryKernels kernels, double p = 0)
        where TOperator : struct, IBinaryOperator
    {
        Tensor dy = c.OutputGradient;
        GradientMemory target = GradientMemory.Open(c, 0, dy.DType);
        if (c.OnCpu)
        {
            Backward(c, from, dy, target.Memory, target.Adds, op);
        }
        else if (c.OnCuda)
        {
            kernels.Backward(c.Cuda, from, dy, target, p);
        }

        target.Close(c);
    }

    /// <summary>dx (+)= factor · dy.</summary>
    public static void Rescale(BackwardCall c, double factor, UnaryKernels kernels) => Backward(c, c.OutputGradient, new SecondScaled(factor), kernels, factor);

    private static void Backward<TOperator>(BackwardCall c, Tensor from, Tensor dy, Tensor dx, bool accumulate, TOperator op)
        where TOperator : struct, IBinaryOperator
    {

        if (dx.DType == DType.F64)
        {
            Span<double> wide = dx.AsSpan<double>();
            if (accumulate)
            {
                Elementwise.Run(wide, from.AsReadOnlySpan<double>(), dy.AsReadOnlySpan<double>(), wide, new Added<TOperator>(op));
            }
            else
            {
                Elementwise.Run(from.AsReadOnlySpan<double>(), dy.AsReadOnlySpan<double>(), wide, op);
            }

            return;
        }

        Span<float> target = dx.AsSpan<float>();
        if (accumulate)
        {
            Elementwise.Run(c.Team, target, from.AsReadOnlySpan<float>(), dy.AsReadOnlySpan<float>(), target, new Added<TOperator>(op));
        }
        else
        {
            Elementwise.Run(c.Team, from.AsReadOnlySpan<float>(), dy.AsReadOnlySpan<float>(), target, op);
        }
    }

    /// <summary>sum + op(x, y).</summary>
    private readonly struct Added<TOperator>(TOperator op) : ITernaryOperator
        where TOperator : struct, IBinaryOperator
    {
        private readonly TOperator _op = op;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T sum, T x, T y)
            where T : unmanaged, ILanes<T>
            => sum + _op.Invoke(x, y);
    }

    /// <summary>factor · dy, whatever x is.</summary>
    internal readonly struct SecondScaled(double factor) : IBinaryOperator
    {
        private readonly double _factor = factor;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x, T dy)
            where T : unmanaged, ILanes<T>
            => T.Of(_factor) * dy;
    }
}
