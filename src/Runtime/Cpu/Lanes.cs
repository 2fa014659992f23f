using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Graft.Runtime.Cpu;

/// <summary>Transposes of small blocks held in registers.</summary>
internal static class Lanes
{
    /// <summary>2 x 4: the four columns one after the other, two in each vector.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Transpose(ref Vector128<float> r0, ref Vector128<float> r1)
    {
        Vector128<float> low = UnpackLow(r0, r1); // 00 10 01 11
        r1 = UnpackHigh(r0, r1); // 02 12 03 13
        r0 = low;
    }

    /// <summary>Two elements to either address.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void StoreHalves(Vector128<float> value, float* low, float* high)
    {
        if (Sse.IsSupported)
        {
            Sse.StoreLow(low, value);
            Sse.StoreHigh(high, value);
        }
        else
        {
            value.GetLower().Store(low);
            value.GetUpper().Store(high);
        }
    }

    /// <summary>4 x 4.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Transpose(ref Vector128<float> r0, ref Vector128<float> r1, ref Vector128<float> r2, ref Vector128<float> r3)
    {
        Vector128<float> t0 = UnpackLow(r0, r1); // 00 10 01 11
        Vector128<float> t1 = UnpackHigh(r0, r1); // 02 12 03 13
        Vector128<float> t2 = UnpackLow(r2, r3);
        Vector128<float> t3 = UnpackHigh(r2, r3);
        r0 = UnpackLow(t0.AsDouble(), t2.AsDouble()).AsSingle();
        r1 = UnpackHigh(t0.AsDouble(), t2.AsDouble()).AsSingle();
        r2 = UnpackLow(t1.AsDouble(), t3.AsDouble()).AsSingle();
        r3 = UnpackHigh(t1.AsDouble(), t3.AsDouble()).AsSingle();
    }

    /// <summary>8 x 8: four 4 x 4 transposes in the 128-bit halves, then halves change places.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Transpose(
        ref Vector256<float> r0,
        ref Vector256<float> r1,
        ref Vector256<float> r2,
        ref Vector256<float> r3,
        ref Vector256<float> r4,
        ref Vector256<float> r5,
        ref Vector256<float> r6,
        ref Vector256<float> r7)
    {
        if (Avx.IsSupported)
        {
            Vector256<double> t0 = Avx.UnpackLow(r0, r1).AsDouble();
            Vector256<double> t1 = Avx.UnpackHigh(r0, r1).AsDouble();
            Vector256<double> t2 = Avx.UnpackLow(r2, r3).AsDouble();
            Vector256<double> t3 = Avx.UnpackHigh(r2, r3).AsDouble();
            Vector256<double> t4 = Avx.UnpackLow(r4, r5).AsDouble();
            Vector256<double> t5 = Avx.UnpackHigh(r4, r5).AsDouble();
            Vector256<double> t6 = Avx.UnpackLow(r6, r7).AsDouble();
            Vector256<double> t7 = Avx.UnpackHigh(r6, r7).AsDouble();
            Vector256<float> u0 = Avx.UnpackLow(t0, t2).AsSingle();
            Vector256<float> u1 = Avx.UnpackHigh(t0, t2).AsSingle();
            Vector256<float> u2 = Avx.UnpackLow(t1, t3).AsSingle();
            Vector256<float> u3 = Avx.UnpackHigh(t1, t3).AsSingle();
            Vector256<float> u4 = Avx.UnpackLow(t4, t6).AsSingle();
            Vector256<float> u5 = Avx.UnpackHigh(t4, t6).AsSingle();
            Vector256<float> u6 = Avx.UnpackLow(t5, t7).AsSingle();
            Vector256<float> u7 = Avx.UnpackHigh(t5, t7).AsSingle();
            r0 = Avx.Permute2x128(u0, u4, 0x20);
            r1 = Avx.Permute2x128(u1, u5, 0x20);
            r2 = Avx.Permute2x128(u2, u6, 0x20);
            r3 = Avx.Permute2x128(u3, u7, 0x20);
            r4 = Avx.Permute2x128(u0, u4, 0x31);
            r5 = Avx.Permute2x128(u1, u5, 0x31);
            r6 = Avx.Permute2x128(u2, u6, 0x31);
            r7 = Avx.Permute2x128(u3, u7, 0x31);
            return;
        }

        Vector128<float> a0 = r0.GetLower(), a1 = r1.GetLower(), a2 = r2.GetLower(), a3 = r3.GetLower();
        Vector128<float> b0 = r0.GetUpper(), b1 = r1.GetUpper(), b2 = r2.GetUpper(), b3 = r3.GetUpper();
        Vector128<float> c0 = r4.GetLower(), c1 = r5.GetLower(), c2 = r6.GetLower(), c3 = r7.GetLower();
        Vector128<float> d0 = r4.GetUpper(), d1 = r5.GetUpper(), d2 = r6.GetUpper(), d3 = r7.GetUpper();
        Transpose(ref a0, ref a1, ref a2, ref a3);
        Transpose(ref b0, ref b1, ref b2, ref b3);
        Transpose(ref c0, ref c1, ref c2, ref c3);
        Transpose(ref d0, ref d1, ref d2, ref d3);
        r0 = Vector256.Create(a0, c0);
        r1 = Vector256.Create(a1, c1);
        r2 = Vector256.Create(a2, c2);
        r3 = Vector256.Create(a3, c3);
        r4 = Vector256.Create(b0, d0);
        r5 = Vector256.Create(b1, d1);
        r6 = Vector256.Create(b2, d2);
        r7 = Vector256.Create(b3, d3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> UnpackLow(Vector128<float> a, Vector128<float> b) => Sse.IsSupported
        ? Sse.UnpackLow(a, b)
        : Vector128.Create(a[0], b[0], a[1], b[1]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> UnpackHigh(Vector128<float> a, Vector128<float> b) => Sse.IsSupported
        ? Sse.UnpackHigh(a, b)
        : Vector128.Create(a[2], b[2], a[3], b[3]);

    // By name where there is one: made of two halves they go through the stack, in pieces that the processor then cannot forward to the load of the whole.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<double> UnpackLow(Vector128<double> a, Vector128<double> b) => Sse2.IsSupported
        ? Sse2.UnpackLow(a, b)
        : Vector128.Create(a.GetLower(), b.GetLower());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<double> UnpackHigh(Vector128<double> a, Vector128<double> b) => Sse2.IsSupported
        ? Sse2.UnpackHigh(a, b)
        : Vector128.Create(a.GetUpper(), b.GetUpper());
}
