using System.Runtime.CompilerServices;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>What elementwise ops of one input share.</summary>
internal static class UnaryOps
{
    public static void Infer(ref InferCall c)
    {
        c.RequireType(0, DType.F32, DType.F64);
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

    /// <summary>dx (+)= op(from, dy), from being the input or the output.</summary>
    public static void Backward<TOperator>(BackwardCall c, Tensor from, TOperator op)
        where TOperator : struct, IBinaryOperator
    {
        Tensor dy = c.OutputGradient;
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

    /// <summary>dx (+)= factor · dy.</summary>
    public static void Rescale(BackwardCall c, double factor) => Backward(c, c.OutputGradient, new SecondScaled(factor));

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
