using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Graft.Runtime.Cpu;

/// <summary>Elementary functions on vectors of F32, one algorithm for every width, so that a lane, a tail and a scalar give the same bits.</summary>
/// <remarks>
/// Polynomials are minimax fits (Lawson's reweighting, then coefficients rounded to F32 one by one and the rest refitted); their errors are 3e-9 or less, below an eighth of an ulp.
/// Largest errors found by the tests against F64: exp 0.98, exp2 0.77, log 0.73, log1p 1.44, tanh 2.13, sigmoid 2.13, erf 0.92 ulp; infinities, NaN, zeros and denormals as IEEE 754 has them.
/// </remarks>
internal static class VectorMath
{
    /// <summary>The bits of √½: subtracting them centres mantissas around one.</summary>
    internal const int SqrtHalfBits = 0x3F35_04F3;

    // 1.5 · 2^23: adding it rounds to a whole number in the low bits
    private const double Rounder = 12582912.0;
    internal const double Log2E = 1.44269504088896341;
    private const double Ln2High = 0.693147182464599609375; // float(ln 2)
    private const double Ln2Low = -1.904654212e-09;

    // beyond: zero and infinity
    private const double ExpLeast = -104.5;
    private const double ExpMost = 89;

    private const float ExpC5 = 0.00138226652f;
    private const float ExpC4 = 0.00836884044f;
    private const float ExpC3 = 0.0416682474f;
    private const float ExpC2 = 0.166665196f;
    private const float ExpC1 = 0.49999994f;

    // ln 2 in 15 bits, so that its product with an exponent is exact, and the rest
    private const double Ln2Short = 0.693145751953125;
    private const double Ln2Rest = 1.428606765e-06;

    /// <summary>The constants of <see cref="Exp{T}(T)"/> for loops that hold them in registers.</summary>
    /// <remarks>
    /// The JIT loads a constant that it knows anew at every use, and a Zen 4 loads one vector of 512 bits per cycle: that, not arithmetic, was the limit of such loops. It cannot know
    /// the elements of an array, so a local that was set from one stays where it is.
    /// </remarks>
    internal static readonly float[] ExpConstants =
        [(float)ExpLeast, (float)ExpMost, (float)Log2E, (float)Rounder, (float)-Ln2High, (float)-Ln2Low, ExpC5, ExpC4, ExpC3, ExpC2, ExpC1, 1];

    public static Vector512<float> Exp(Vector512<float> x) => Exp(new Lanes512(x)).Value;

    public static Vector256<float> Exp(Vector256<float> x) => Exp(new Lanes256(x)).Value;

    public static Vector128<float> Exp(Vector128<float> x) => Exp(new Lanes128(x)).Value;

    public static float Exp(float x) => Exp(new LanesScalar(x)).Value;

    public static Vector512<float> Tanh(Vector512<float> x) => Tanh(new Lanes512(x)).Value;

    public static Vector256<float> Tanh(Vector256<float> x) => Tanh(new Lanes256(x)).Value;

    public static Vector128<float> Tanh(Vector128<float> x) => Tanh(new Lanes128(x)).Value;

    public static float Tanh(float x) => Tanh(new LanesScalar(x)).Value;

    public static float Log(float x) => Log(new LanesScalar(x)).Value;

    public static float Sigmoid(float x) => Sigmoid(new LanesScalar(x)).Value;

    public static float Erf(float x) => Erf(new LanesScalar(x)).Value;

    /// <summary>e^x = 2^n · e^r with |r| ≤ ln 2 / 2; results below 2^-126 are rounded once, as denormals.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Exp<T>(T x)
        where T : unmanaged, IFloatLanes<T>
        => Exp(
            x, T.Of(ExpLeast), T.Of(ExpMost), T.Of(Log2E), T.Of(Rounder), T.Of(-Ln2High), T.Of(-Ln2Low), T.Of(ExpC5), T.Of(ExpC4), T.Of(ExpC3), T.Of(ExpC2), T.Of(ExpC1), T.Of(1));

    /// <summary>The same by constants that a loop holds in registers: <see cref="ExpConstants"/> in their order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Exp<T>(T x, T least, T most, T log2E, T rounder, T ln2High, T ln2Low, T c5, T c4, T c3, T c2, T c1, T one)
        where T : unmanaged, IFloatLanes<T>
    {
        T bounded = T.MinNative(most, T.MaxNative(least, x));
        T exponent = T.Fma(bounded, log2E, rounder) - rounder;
        return T.Scale(ReducedExpm1(bounded, exponent, ln2High, ln2Low, c5, c4, c3, c2, c1) + one, exponent);
    }

    /// <summary>2^x = 2^n · 2^f with |f| ≤ ½: a quarter fewer instructions than <see cref="Exp{T}(T)"/>, whose remainder takes two parts of ln 2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Exp2<T>(T x)
        where T : unmanaged, IFloatLanes<T>
    {
        T bounded = T.MinNative(T.Of(129), T.MaxNative(T.Of(-151), x)); // beyond: infinity and zero
        T exponent = (bounded + T.Of(Rounder)) - T.Of(Rounder);
        T f = bounded - exponent;
        T p = T.Fma(f, T.Of(0.000153264613), T.Of(0.00133908063));
        p = T.Fma(p, f, T.Of(0.00961850584));
        p = T.Fma(p, f, T.Of(0.0555035993));
        p = T.Fma(p, f, T.Of(0.240226477));
        p = T.Fma(p, f, T.Of(0.693147182));
        return T.Scale(T.Fma(p, f, T.Of(1)), exponent);
    }

    /// <summary>log x = e · ln 2 + log m, m in [√½, √2).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Log<T>(T x)
        where T : unmanaged, IFloatLanes<T>
    {
        T denormal = T.Less(x, T.Of(1.17549435e-38));
        T exponent = T.Split(T.Select(denormal, x * T.Of(8388608), x), out T mantissa);
        exponent -= T.Select(denormal, T.Of(23), T.Of(0));
        T f = mantissa - T.Of(1);
        T p = T.Fma(f, T.Of(0.0673248619), T.Of(-0.116609186));
        p = T.Fma(p, f, T.Of(0.118865512));
        p = T.Fma(p, f, T.Of(-0.124081761));
        p = T.Fma(p, f, T.Of(0.1422019));
        p = T.Fma(p, f, T.Of(-0.166678548));
        p = T.Fma(p, f, T.Of(0.200020745));
        p = T.Fma(p, f, T.Of(-0.250000119));
        p = T.Fma(p, f, T.Of(0.333333135));
        T square = f * f;
        T low = T.Fma(exponent, T.Of(Ln2Rest), square * f * p); // f³ · p and the small part of e · ln 2
        T sum = T.Fma(square, T.Of(-0.5), low) + f;
        T log = T.Fma(exponent, T.Of(Ln2Short), sum);

        T finite = T.Select(T.Less(x, T.Of(double.PositiveInfinity)), log, x);
        T other = T.Select(T.Equal(x, T.Of(0)), T.Of(double.NegativeInfinity), T.Of(double.NaN));
        return T.Select(T.Less(T.Of(0), x), finite, other);
    }

    /// <summary>log(1 + x), for x &gt; -1; the rounding of 1 + x is put back to first order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Log1p<T>(T x)
        where T : unmanaged, IFloatLanes<T>
    {
        T sum = T.Of(1) + x;
        T log = Log(sum);
        T corrected = log - (((sum - T.Of(1)) - x) / sum);
        T regular = T.Less(T.Abs(log), T.Of(double.PositiveInfinity)); // not at x = -1 and infinity
        return T.Select(regular, T.Select(T.Equal(sum, T.Of(1)), x, corrected), log);
    }

    /// <summary>m / (m + 2) with m = e^2|x| - 1, which keeps small x accurate without a second branch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Tanh<T>(T x)
        where T : unmanaged, IFloatLanes<T>
    {
        T twice = T.MinNative(T.Of(20), T.Abs(x) + T.Abs(x)); // tanh(10) rounds to 1
        T exponent = T.Fma(twice, T.Of(Log2E), T.Of(Rounder)) - T.Of(Rounder);
        T scale = T.Scale(T.Of(1), exponent);
        T m = T.Fma(scale, ReducedExpm1(twice, exponent), scale - T.Of(1));
        return T.CopySign(m / (m + T.Of(2)), x);
    }

    /// <summary>1 / (1 + e^-x), from e^-|x| so that neither side overflows or cancels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Sigmoid<T>(T x)
        where T : unmanaged, IFloatLanes<T>
    {
        T decay = Exp(-T.Abs(x));
        return T.Select(T.Less(x, T.Of(0)), decay, T.Of(1)) / (T.Of(1) + decay);
    }

    /// <summary>Below 1 an odd polynomial; beyond, 1 - e^-g(|x|) with g a polynomial for -log erfc.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Erf<T>(T x)
        where T : unmanaged, IFloatLanes<T>
    {
        T size = T.Abs(x);
        T u = x * x;
        T p = T.Fma(u, T.Of(7.83764553e-05), T.Of(-0.000800551439));
        p = T.Fma(p, u, T.Of(0.00518783648));
        p = T.Fma(p, u, T.Of(-0.0268535912));
        p = T.Fma(p, u, T.Of(0.112835817));
        p = T.Fma(p, u, T.Of(-0.37612626));
        p = T.Fma(p, u, T.Of(0.128379166));
        T near = T.Fma(x, p, x);

        T t = T.MinNative(T.Of(3.93), size); // erfc(3.93) is below half an ulp of 1
        T g = T.Fma(t, T.Of(-0.000186384088), T.Of(0.00294771022));
        g = T.Fma(g, t, T.Of(-0.0218382701));
        g = T.Fma(g, t, T.Of(0.103107154));
        g = T.Fma(g, t, T.Of(0.638144433));
        g = T.Fma(g, t, T.Of(1.12708938));
        g = T.Fma(g, t, T.Of(0.000341490639));
        T far = T.CopySign(T.Of(1) - Exp(-g), x);
        return T.Select(T.Less(size, T.Of(1)), near, far);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T ReducedExpm1<T>(T x, T n)
        where T : unmanaged, IFloatLanes<T>
        => ReducedExpm1(x, n, T.Of(-Ln2High), T.Of(-Ln2Low), T.Of(ExpC5), T.Of(ExpC4), T.Of(ExpC3), T.Of(ExpC2), T.Of(ExpC1));

    /// <summary>e^r - 1 for r = x - n · ln 2, by r + r² · P(r).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T ReducedExpm1<T>(T x, T n, T ln2High, T ln2Low, T c5, T c4, T c3, T c2, T c1)
        where T : unmanaged, IFloatLanes<T>
    {
        T r = T.Fma(n, ln2Low, T.Fma(n, ln2High, x));
        T p = T.Fma(r, c5, c4);
        p = T.Fma(p, r, c3);
        p = T.Fma(p, r, c2);
        p = T.Fma(p, r, c1);
        return T.Fma(r * r, p, r);
    }
}
