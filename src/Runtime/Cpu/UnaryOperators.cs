using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>x.</summary>
internal readonly struct IdentityOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => x;
}

/// <summary>-x.</summary>
internal readonly struct NegateOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => -x;
}

/// <summary>e^x.</summary>
internal readonly struct ExpOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Exp(x);
}

/// <summary>log x.</summary>
internal readonly struct LogOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Log(x);
}

/// <summary>√x.</summary>
internal readonly struct SqrtOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Sqrt(x);
}

/// <summary>1/√x.</summary>
internal readonly struct RsqrtOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Of(1) / T.Sqrt(x);
}

/// <summary>1/x.</summary>
internal readonly struct ReciprocalOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Of(1) / x;
}

/// <summary>tanh x.</summary>
internal readonly struct TanhOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Tanh(x);
}

/// <summary>1 / (1 + e^-x).</summary>
internal readonly struct SigmoidOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Sigmoid(x);
}

/// <summary>erf x.</summary>
internal readonly struct ErfOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Erf(x);
}

/// <summary>max(x, 0); NaN stays NaN.</summary>
internal readonly struct ReluOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Max(x, T.Of(0));
}

/// <summary>|x|.</summary>
internal readonly struct AbsOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Abs(x);
}

/// <summary>x².</summary>
internal readonly struct SquareOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => x * x;
}

/// <summary>x · sigmoid(x).</summary>
internal readonly struct SiluOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => x * T.Sigmoid(x);
}

/// <summary>x · Φ(x) = x/2 · (1 + erf(x/√2)).</summary>
internal readonly struct GeluErfOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => x * T.Of(0.5) * (T.Of(1) + T.Erf(x * T.Of(Gelu.SqrtHalf)));
}

/// <summary>x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).</summary>
internal readonly struct GeluTanhOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => x * T.Of(0.5) * (T.Of(1) + T.Tanh(Gelu.Inner(x)));
}

/// <summary>x · sigmoid(1.702 x).</summary>
internal readonly struct QuickGeluOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => x * T.Sigmoid(T.Of(1.702) * x);
}

/// <summary>max(x, 0)².</summary>
internal readonly struct ReluSquaredOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Max(x, T.Of(0)) * T.Max(x, T.Of(0));
}

/// <summary>log(1 + e^x), from e^-|x| so that it never overflows.</summary>
internal readonly struct SoftplusOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Max(x, T.Of(0)) + T.Log1p(T.Exp(-T.Abs(x)));
}

/// <summary>log sigmoid(x) = -softplus(-x).</summary>
internal readonly struct LogSigmoidOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Min(x, T.Of(0)) - T.Log1p(T.Exp(-T.Abs(x)));
}

/// <summary>x · tanh(softplus(x)).</summary>
internal readonly struct MishOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => x * T.Tanh(T.Max(x, T.Of(0)) + T.Log1p(T.Exp(-T.Abs(x))));
}

/// <summary>x · clamp(x + 3, 0, 6) / 6.</summary>
internal readonly struct HardSwishOperator : IUnaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => x * T.Min(T.Max(x + T.Of(3), T.Of(0)), T.Of(6)) / T.Of(6);
}

/// <summary>factor · x.</summary>
internal readonly struct ScaleOperator(double factor) : IUnaryOperator
{
    private readonly double _factor = factor;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Of(_factor) * x;
}

/// <summary>x + term.</summary>
internal readonly struct AddScalarOperator(double term) : IUnaryOperator
{
    private readonly double _term = term;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => x + T.Of(_term);
}

/// <summary>x where positive, else slope · x.</summary>
internal readonly struct LeakyReluOperator(double slope) : IUnaryOperator
{
    private readonly double _slope = slope;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Select(T.Less(T.Of(0), x), x, T.Of(_slope) * x);
}

/// <summary>x where positive, else alpha (e^x - 1).</summary>
internal readonly struct EluOperator(double alpha) : IUnaryOperator
{
    private readonly double _alpha = alpha;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Select(T.Less(T.Of(0), x), x, T.Of(_alpha) * Elu.Expm1(x));
}
