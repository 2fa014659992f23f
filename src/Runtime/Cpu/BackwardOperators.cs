using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>From y = √x: dy / 2y.</summary>
internal readonly struct SqrtBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T y, T dy)
        where T : unmanaged, ILanes<T>
        => dy * T.Of(0.5) / y;
}

/// <summary>From y = 1/√x: -dy · y³ / 2.</summary>
internal readonly struct RsqrtBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T y, T dy)
        where T : unmanaged, ILanes<T>
        => dy * T.Of(-0.5) * (y * y * y);
}

/// <summary>From y = tanh x: dy (1 - y²).</summary>
internal readonly struct TanhBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T y, T dy)
        where T : unmanaged, ILanes<T>
        => dy * T.Fma(-y, y, T.Of(1));
}

/// <summary>From y = sigmoid(x): dy · y (1 - y).</summary>
internal readonly struct SigmoidBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T y, T dy)
        where T : unmanaged, ILanes<T>
        => dy * (y * (T.Of(1) - y));
}

/// <summary>dy where x &gt; 0, else 0.</summary>
internal readonly struct ReluBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => T.Select(T.Less(T.Of(0), x), dy, T.Of(0));
}

/// <summary>dy · sign(x), 0 at 0.</summary>
internal readonly struct AbsBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => T.Select(T.Equal(x, T.Of(0)), T.Of(0), dy * T.CopySign(T.Of(1), x));
}

/// <summary>2 x · dy.</summary>
internal readonly struct SquareBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * (x + x);
}

/// <summary>2/√π · e^-x² · dy.</summary>
internal readonly struct ErfBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * (T.Of(1.12837916709551257) * T.Exp(-(x * x)));
}

/// <summary>dy / x.</summary>
internal readonly struct LogBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy / x;
}

/// <summary>dy · s (1 + x (1 - s)), s = sigmoid(x).</summary>
internal readonly struct SiluBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * Silu.Slope(x, T.Sigmoid(x));
}

/// <summary>dy (Φ(x) + x · φ(x)).</summary>
internal readonly struct GeluErfBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * T.Fma(x, T.Of(Gelu.Density) * T.Exp(T.Of(-0.5) * x * x), T.Of(0.5) * (T.Of(1) + T.Erf(x * T.Of(Gelu.SqrtHalf))));
}

/// <summary>dy ((1 + t)/2 + x/2 · (1 - t²) · u'), t = tanh u, u the inner polynomial.</summary>
internal readonly struct GeluTanhBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * Gelu.TanhSlope(x, T.Tanh(Gelu.Inner(x)));
}

/// <summary>dy · s (1 + 1.702 x (1 - s)), s = sigmoid(1.702 x).</summary>
internal readonly struct QuickGeluBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * Silu.Slope(T.Of(1.702) * x, T.Sigmoid(T.Of(1.702) * x));
}

/// <summary>2 max(x, 0) · dy.</summary>
internal readonly struct ReluSquaredBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * (T.Of(2) * T.Max(x, T.Of(0)));
}

/// <summary>dy · sigmoid(x).</summary>
internal readonly struct SoftplusBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * T.Sigmoid(x);
}

/// <summary>dy · sigmoid(-x).</summary>
internal readonly struct LogSigmoidBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * T.Sigmoid(-x);
}

/// <summary>dy (t + x (1 - t²) sigmoid(x)), t = tanh(softplus(x)).</summary>
internal readonly struct MishBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * Mish.Slope(x, T.Tanh(T.Max(x, T.Of(0)) + T.Log1p(T.Exp(-T.Abs(x)))));
}

/// <summary>dy · (0 below -3, 1 above 3, (2x + 3)/6 between).</summary>
internal readonly struct HardSwishBackwardOperator : IBinaryOperator
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => dy * T.Select(T.Less(x, T.Of(-3)), T.Of(0), T.Select(T.Less(x, T.Of(3)), (x + x + T.Of(3)) / T.Of(6), T.Of(1)));
}

/// <summary>dy where x is positive, else slope · dy.</summary>
internal readonly struct LeakyReluBackwardOperator(double slope) : IBinaryOperator
{
    private readonly double _slope = slope;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => T.Select(T.Less(T.Of(0), x), dy, T.Of(_slope) * dy);
}

/// <summary>dy where x is positive, else alpha · e^x · dy.</summary>
internal readonly struct EluBackwardOperator(double alpha) : IBinaryOperator
{
    private readonly double _alpha = alpha;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T dy)
        where T : unmanaged, ILanes<T>
        => T.Select(T.Less(T.Of(0), x), dy, T.Of(_alpha) * T.Exp(x) * dy);
}
