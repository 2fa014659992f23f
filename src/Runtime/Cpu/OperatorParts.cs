using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Terms shared by SiLU and its relatives.</summary>
internal static class Silu
{
    /// <summary>The derivative s (1 + x (1 - s)) with s = sigmoid(x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Slope<T>(T x, T s)
        where T : unmanaged, ILanes<T>
        => s * T.Fma(x, T.Of(1) - s, T.Of(1));
}

/// <summary>Terms shared by the two forms of GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415).</summary>
internal static class Gelu
{
    /// <summary>1/√2.</summary>
    public const double SqrtHalf = 0.70710678118654752;

    /// <summary>1/√(2π), the normal density at 0.</summary>
    public const double Density = 0.39894228040143268;

    private const double SqrtTwoOverPi = 0.79788456080286536;

    /// <summary>√(2/π) (x + 0.044715 x³).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Inner<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Of(SqrtTwoOverPi) * T.Fma(T.Of(0.044715) * x * x, x, x);

    /// <summary>The derivative of the tanh form, from t = tanh(inner).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T TanhSlope<T>(T x, T t)
        where T : unmanaged, ILanes<T>
    {
        T inner = T.Of(SqrtTwoOverPi) * T.Fma(T.Of(3 * 0.044715) * x, x, T.Of(1));
        T half = T.Of(0.5);
        return T.Fma(half * x * T.Fma(-t, t, T.Of(1)), inner, T.Fma(half, t, half));
    }
}

/// <summary>Terms of Mish (Misra 2019, arXiv:1908.08681).</summary>
internal static class Mish
{
    /// <summary>The derivative t + x (1 - t²) sigmoid(x), from t = tanh(softplus(x)).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Slope<T>(T x, T t)
        where T : unmanaged, ILanes<T>
        => T.Fma(x * T.Fma(-t, t, T.Of(1)), T.Sigmoid(x), t);
}

/// <summary>Terms of ELU (Clevert et al. 2015, arXiv:1511.07289).</summary>
internal static class Elu
{
    /// <summary>e^x - 1 = tanh(x/2) (e^x + 1): no cancellation near 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Expm1<T>(T x)
        where T : unmanaged, ILanes<T>
        => T.Tanh(x * T.Of(0.5)) * (T.Exp(x) + T.Of(1));
}
