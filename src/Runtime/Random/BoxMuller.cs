using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Graft.Runtime;

/// <summary>
/// Standard normal numbers from pairs of words in a form fixed to the bit: only add, multiply, fused multiply-add, square root and selection, all
/// correctly rounded in F32.
/// </summary>
/// <remarks>
/// u = ((a &gt;&gt; 8) + 1) / 2^24 in (0, 1], v = (b &gt;&gt; 8) / 2^24 in [0, 1), r = sqrt(-2 ln u); the pair is r cos(2πv), r sin(2πv). The largest
/// magnitude is 5.77.
/// Method: Box and Muller 1958. Logarithm, sine and cosine by the single-precision polynomials of the Cephes library, no library call, so that every
/// device has the same bits.
/// </remarks>
internal static class BoxMuller
{
    /// <summary>In place over whole pairs: bits of (a, b) become bits of (r cos, r sin). The length is a multiple of 16.</summary>
    public static void Transform(ReadOnlySpan<uint> words, Span<float> result)
    {
        for (int i = 0; i < words.Length; i += 16)
        {
            Vector256<ulong> front = Vector256.Create(words.Slice(i, 8)).AsUInt64(); // four pairs, a in the low halves
            Vector256<ulong> back = Vector256.Create(words.Slice(i + 8, 8)).AsUInt64();
            Vector256<uint> a = Vector256.Narrow(front & Vector256.Create(0xFFFF_FFFFUL), back & Vector256.Create(0xFFFF_FFFFUL));
            Vector256<uint> b = Vector256.Narrow(front >>> 32, back >>> 32);
            (Vector256<float> cos, Vector256<float> sin) = Pair(a, b);
            (Vector256<ulong> lowCos, Vector256<ulong> highCos) = Vector256.Widen(cos.AsUInt32());
            (Vector256<ulong> lowSin, Vector256<ulong> highSin) = Vector256.Widen(sin.AsUInt32());
            (lowCos | (lowSin << 32)).AsSingle().CopyTo(result.Slice(i, 8));
            (highCos | (highSin << 32)).AsSingle().CopyTo(result.Slice(i + 8, 8));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<float> Cos, Vector256<float> Sin) Pair(Vector256<uint> a, Vector256<uint> b)
    {
        Vector256<float> unit = Vector256.Create(1f / (1 << 24));
        Vector256<float> u = Vector256.ConvertToSingle(((a >>> 8) + Vector256<uint>.One).AsInt32()) * unit;
        Vector256<float> v = Vector256.ConvertToSingle((b >>> 8).AsInt32()) * unit;
        Vector256<float> r = Vector256.Sqrt(Vector256.Max(Log(u) * Vector256.Create(-2f), Vector256<float>.Zero));

        // Quarter turns are exact: 4v = q + f with |f| <= 1/2, so the polynomials see angles of at most π/4.
        Vector256<float> turns = v * Vector256.Create(4f);
        Vector256<float> q = Vector256.Floor(turns + Vector256.Create(0.5f));
        Vector256<float> x = (turns - q) * Vector256.Create(1.57079632679489662f);
        Vector256<float> z = x * x;
        Vector256<float> s = Fma(Fma(Vector256.Create(-1.9515295891e-4f), z, 8.3321608736e-3f), z, -1.6666654611e-1f);
        s = Vector256.FusedMultiplyAdd(s * z, x, x);
        Vector256<float> c = Fma(Fma(Vector256.Create(2.443315711809948e-5f), z, -1.388731625493765e-3f), z, 4.166664568298827e-2f);
        c = Vector256.FusedMultiplyAdd(c * z, z, Fma(z, Vector256.Create(-0.5f), 1f));

        Vector256<int> quarter = Vector256.ConvertToInt32(q) & Vector256.Create(3);
        Vector256<float> swap = Vector256.Equals(quarter & Vector256<int>.One, Vector256<int>.One).AsSingle();
        Vector256<int> cosSign = (quarter + Vector256<int>.One) & Vector256.Create(2); // quarters 1 and 2
        Vector256<int> sinSign = quarter & Vector256.Create(2); // quarters 2 and 3
        Vector256<float> cos = (Vector256.ConditionalSelect(swap, s, c).AsInt32() ^ (cosSign << 30)).AsSingle();
        Vector256<float> sin = (Vector256.ConditionalSelect(swap, c, s).AsInt32() ^ (sinSign << 30)).AsSingle();
        return (cos * r, sin * r);
    }

    // ln of positive normal numbers: u = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Log(Vector256<float> u)
    {
        Vector256<int> bits = u.AsInt32();
        Vector256<int> shifted = bits - Vector256.Create(0x3F3504F3); // bits of sqrt(1/2)
        Vector256<float> e = Vector256.ConvertToSingle(shifted >> 23);
        Vector256<float> f = (bits - (shifted & Vector256.Create(unchecked((int)0xFF80_0000)))).AsSingle() - Vector256<float>.One;
        Vector256<float> z = f * f;
        Vector256<float> p = Fma(Fma(Vector256.Create(7.0376836292e-2f), f, -1.1514610310e-1f), f, 1.1676998740e-1f);
        p = Fma(Fma(Fma(p, f, -1.2420140846e-1f), f, 1.4249322787e-1f), f, -1.6668057665e-1f);
        p = Fma(Fma(Fma(p, f, 2.0000714765e-1f), f, -2.4999993993e-1f), f, 3.3333331174e-1f);
        Vector256<float> y = p * f * z;
        y = Vector256.FusedMultiplyAdd(e, Vector256.Create(-2.12194440e-4f), y); // ln 2 in two parts, the larger one exact times e
        y = Vector256.FusedMultiplyAdd(z, Vector256.Create(-0.5f), y);
        return Vector256.FusedMultiplyAdd(e, Vector256.Create(0.693359375f), f + y);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Fma(Vector256<float> a, Vector256<float> b, float c) => Vector256.FusedMultiplyAdd(a, b, Vector256.Create(c));
}
