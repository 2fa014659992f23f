using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Graft.Runtime.Cpu;

/// <summary>Register-blocked inner products of packed panels on 512-bit vectors: 32 columns, 12, 8 or 4 rows.</summary>
/// <remarks>
/// 12 x 32 holds 24 accumulators, two columns of B and one broadcast of A in 27 of 32 registers. No method here calls another: with any call in
/// the body the JIT would keep the accumulators on the stack, which costs a factor of three. The lines are unrolled by hand for the same reason.
/// </remarks>
internal static unsafe class Microkernel512
{
    /// <summary>C (12 x 32) = or += panel A (k x 12, step apart) times panel B (k x 32).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows12(int k, float* a, long step, float* b, float* c, long ldc, bool accumulate)
    {
        // C is wanted after k steps: its lines come meanwhile. Before that they were waited for, at 4096 for a tenth of the time.
        float* line = c;
        for (int i = 0; i < 12; i++, line += ldc)
        {
            Sse.Prefetch0(line);
            Sse.Prefetch0(line + 16);
        }

        Vector512<float> c0_0 = Vector512<float>.Zero, c0_1 = Vector512<float>.Zero;
        Vector512<float> c1_0 = Vector512<float>.Zero, c1_1 = Vector512<float>.Zero;
        Vector512<float> c2_0 = Vector512<float>.Zero, c2_1 = Vector512<float>.Zero;
        Vector512<float> c3_0 = Vector512<float>.Zero, c3_1 = Vector512<float>.Zero;
        Vector512<float> c4_0 = Vector512<float>.Zero, c4_1 = Vector512<float>.Zero;
        Vector512<float> c5_0 = Vector512<float>.Zero, c5_1 = Vector512<float>.Zero;
        Vector512<float> c6_0 = Vector512<float>.Zero, c6_1 = Vector512<float>.Zero;
        Vector512<float> c7_0 = Vector512<float>.Zero, c7_1 = Vector512<float>.Zero;
        Vector512<float> c8_0 = Vector512<float>.Zero, c8_1 = Vector512<float>.Zero;
        Vector512<float> c9_0 = Vector512<float>.Zero, c9_1 = Vector512<float>.Zero;
        Vector512<float> c10_0 = Vector512<float>.Zero, c10_1 = Vector512<float>.Zero;
        Vector512<float> c11_0 = Vector512<float>.Zero, c11_1 = Vector512<float>.Zero;
        for (; k > 0; k--)
        {
            Vector512<float> b0 = Vector512.Load(b);
            Vector512<float> b1 = Vector512.Load(b + 16);
            Vector512<float> x;
            x = Vector512.Create(a[0]);
            c0_0 = Vector512.FusedMultiplyAdd(x, b0, c0_0);
            c0_1 = Vector512.FusedMultiplyAdd(x, b1, c0_1);
            x = Vector512.Create(a[1]);
            c1_0 = Vector512.FusedMultiplyAdd(x, b0, c1_0);
            c1_1 = Vector512.FusedMultiplyAdd(x, b1, c1_1);
            x = Vector512.Create(a[2]);
            c2_0 = Vector512.FusedMultiplyAdd(x, b0, c2_0);
            c2_1 = Vector512.FusedMultiplyAdd(x, b1, c2_1);
            x = Vector512.Create(a[3]);
            c3_0 = Vector512.FusedMultiplyAdd(x, b0, c3_0);
            c3_1 = Vector512.FusedMultiplyAdd(x, b1, c3_1);
            x = Vector512.Create(a[4]);
            c4_0 = Vector512.FusedMultiplyAdd(x, b0, c4_0);
            c4_1 = Vector512.FusedMultiplyAdd(x, b1, c4_1);
            x = Vector512.Create(a[5]);
            c5_0 = Vector512.FusedMultiplyAdd(x, b0, c5_0);
            c5_1 = Vector512.FusedMultiplyAdd(x, b1, c5_1);
            x = Vector512.Create(a[6]);
            c6_0 = Vector512.FusedMultiplyAdd(x, b0, c6_0);
            c6_1 = Vector512.FusedMultiplyAdd(x, b1, c6_1);
            x = Vector512.Create(a[7]);
            c7_0 = Vector512.FusedMultiplyAdd(x, b0, c7_0);
            c7_1 = Vector512.FusedMultiplyAdd(x, b1, c7_1);
            x = Vector512.Create(a[8]);
            c8_0 = Vector512.FusedMultiplyAdd(x, b0, c8_0);
            c8_1 = Vector512.FusedMultiplyAdd(x, b1, c8_1);
            x = Vector512.Create(a[9]);
            c9_0 = Vector512.FusedMultiplyAdd(x, b0, c9_0);
            c9_1 = Vector512.FusedMultiplyAdd(x, b1, c9_1);
            x = Vector512.Create(a[10]);
            c10_0 = Vector512.FusedMultiplyAdd(x, b0, c10_0);
            c10_1 = Vector512.FusedMultiplyAdd(x, b1, c10_1);
            x = Vector512.Create(a[11]);
            c11_0 = Vector512.FusedMultiplyAdd(x, b0, c11_0);
            c11_1 = Vector512.FusedMultiplyAdd(x, b1, c11_1);
            a += step;
            b += 32;
        }

        if (accumulate)
        {
            float* old = c;
            c0_0 += Vector512.Load(old);
            c0_1 += Vector512.Load(old + 16);
            old += ldc;
            c1_0 += Vector512.Load(old);
            c1_1 += Vector512.Load(old + 16);
            old += ldc;
            c2_0 += Vector512.Load(old);
            c2_1 += Vector512.Load(old + 16);
            old += ldc;
            c3_0 += Vector512.Load(old);
            c3_1 += Vector512.Load(old + 16);
            old += ldc;
            c4_0 += Vector512.Load(old);
            c4_1 += Vector512.Load(old + 16);
            old += ldc;
            c5_0 += Vector512.Load(old);
            c5_1 += Vector512.Load(old + 16);
            old += ldc;
            c6_0 += Vector512.Load(old);
            c6_1 += Vector512.Load(old + 16);
            old += ldc;
            c7_0 += Vector512.Load(old);
            c7_1 += Vector512.Load(old + 16);
            old += ldc;
            c8_0 += Vector512.Load(old);
            c8_1 += Vector512.Load(old + 16);
            old += ldc;
            c9_0 += Vector512.Load(old);
            c9_1 += Vector512.Load(old + 16);
            old += ldc;
            c10_0 += Vector512.Load(old);
            c10_1 += Vector512.Load(old + 16);
            old += ldc;
            c11_0 += Vector512.Load(old);
            c11_1 += Vector512.Load(old + 16);
        }

        c0_0.Store(c);
        c0_1.Store(c + 16);
        c += ldc;
        c1_0.Store(c);
        c1_1.Store(c + 16);
        c += ldc;
        c2_0.Store(c);
        c2_1.Store(c + 16);
        c += ldc;
        c3_0.Store(c);
        c3_1.Store(c + 16);
        c += ldc;
        c4_0.Store(c);
        c4_1.Store(c + 16);
        c += ldc;
        c5_0.Store(c);
        c5_1.Store(c + 16);
        c += ldc;
        c6_0.Store(c);
        c6_1.Store(c + 16);
        c += ldc;
        c7_0.Store(c);
        c7_1.Store(c + 16);
        c += ldc;
        c8_0.Store(c);
        c8_1.Store(c + 16);
        c += ldc;
        c9_0.Store(c);
        c9_1.Store(c + 16);
        c += ldc;
        c10_0.Store(c);
        c10_1.Store(c + 16);
        c += ldc;
        c11_0.Store(c);
        c11_1.Store(c + 16);
    }

    /// <summary>C (8 x 32) = or += panel A (k x 8, step apart) times panel B (k x 32).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows8(int k, float* a, long step, float* b, float* c, long ldc, bool accumulate)
    {
        Vector512<float> c0_0 = Vector512<float>.Zero, c0_1 = Vector512<float>.Zero;
        Vector512<float> c1_0 = Vector512<float>.Zero, c1_1 = Vector512<float>.Zero;
        Vector512<float> c2_0 = Vector512<float>.Zero, c2_1 = Vector512<float>.Zero;
        Vector512<float> c3_0 = Vector512<float>.Zero, c3_1 = Vector512<float>.Zero;
        Vector512<float> c4_0 = Vector512<float>.Zero, c4_1 = Vector512<float>.Zero;
        Vector512<float> c5_0 = Vector512<float>.Zero, c5_1 = Vector512<float>.Zero;
        Vector512<float> c6_0 = Vector512<float>.Zero, c6_1 = Vector512<float>.Zero;
        Vector512<float> c7_0 = Vector512<float>.Zero, c7_1 = Vector512<float>.Zero;
        for (; k > 0; k--)
        {
            Vector512<float> b0 = Vector512.Load(b);
            Vector512<float> b1 = Vector512.Load(b + 16);
            Vector512<float> x;
            x = Vector512.Create(a[0]);
            c0_0 = Vector512.FusedMultiplyAdd(x, b0, c0_0);
            c0_1 = Vector512.FusedMultiplyAdd(x, b1, c0_1);
            x = Vector512.Create(a[1]);
            c1_0 = Vector512.FusedMultiplyAdd(x, b0, c1_0);
            c1_1 = Vector512.FusedMultiplyAdd(x, b1, c1_1);
            x = Vector512.Create(a[2]);
            c2_0 = Vector512.FusedMultiplyAdd(x, b0, c2_0);
            c2_1 = Vector512.FusedMultiplyAdd(x, b1, c2_1);
            x = Vector512.Create(a[3]);
            c3_0 = Vector512.FusedMultiplyAdd(x, b0, c3_0);
            c3_1 = Vector512.FusedMultiplyAdd(x, b1, c3_1);
            x = Vector512.Create(a[4]);
            c4_0 = Vector512.FusedMultiplyAdd(x, b0, c4_0);
            c4_1 = Vector512.FusedMultiplyAdd(x, b1, c4_1);
            x = Vector512.Create(a[5]);
            c5_0 = Vector512.FusedMultiplyAdd(x, b0, c5_0);
            c5_1 = Vector512.FusedMultiplyAdd(x, b1, c5_1);
            x = Vector512.Create(a[6]);
            c6_0 = Vector512.FusedMultiplyAdd(x, b0, c6_0);
            c6_1 = Vector512.FusedMultiplyAdd(x, b1, c6_1);
            x = Vector512.Create(a[7]);
            c7_0 = Vector512.FusedMultiplyAdd(x, b0, c7_0);
            c7_1 = Vector512.FusedMultiplyAdd(x, b1, c7_1);
            a += step;
            b += 32;
        }

        if (accumulate)
        {
            float* old = c;
            c0_0 += Vector512.Load(old);
            c0_1 += Vector512.Load(old + 16);
            old += ldc;
            c1_0 += Vector512.Load(old);
            c1_1 += Vector512.Load(old + 16);
            old += ldc;
            c2_0 += Vector512.Load(old);
            c2_1 += Vector512.Load(old + 16);
            old += ldc;
            c3_0 += Vector512.Load(old);
            c3_1 += Vector512.Load(old + 16);
            old += ldc;
            c4_0 += Vector512.Load(old);
            c4_1 += Vector512.Load(old + 16);
            old += ldc;
            c5_0 += Vector512.Load(old);
            c5_1 += Vector512.Load(old + 16);
            old += ldc;
            c6_0 += Vector512.Load(old);
            c6_1 += Vector512.Load(old + 16);
            old += ldc;
            c7_0 += Vector512.Load(old);
            c7_1 += Vector512.Load(old + 16);
        }

        c0_0.Store(c);
        c0_1.Store(c + 16);
        c += ldc;
        c1_0.Store(c);
        c1_1.Store(c + 16);
        c += ldc;
        c2_0.Store(c);
        c2_1.Store(c + 16);
        c += ldc;
        c3_0.Store(c);
        c3_1.Store(c + 16);
        c += ldc;
        c4_0.Store(c);
        c4_1.Store(c + 16);
        c += ldc;
        c5_0.Store(c);
        c5_1.Store(c + 16);
        c += ldc;
        c6_0.Store(c);
        c6_1.Store(c + 16);
        c += ldc;
        c7_0.Store(c);
        c7_1.Store(c + 16);
    }

    /// <summary>C (4 x 32) = or += panel A (k x 4, step apart) times panel B (k x 32).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows4(int k, float* a, long step, float* b, float* c, long ldc, bool accumulate)
    {
        Vector512<float> c0_0 = Vector512<float>.Zero, c0_1 = Vector512<float>.Zero;
        Vector512<float> c1_0 = Vector512<float>.Zero, c1_1 = Vector512<float>.Zero;
        Vector512<float> c2_0 = Vector512<float>.Zero, c2_1 = Vector512<float>.Zero;
        Vector512<float> c3_0 = Vector512<float>.Zero, c3_1 = Vector512<float>.Zero;
        for (; k > 0; k--)
        {
            Vector512<float> b0 = Vector512.Load(b);
            Vector512<float> b1 = Vector512.Load(b + 16);
            Vector512<float> x;
            x = Vector512.Create(a[0]);
            c0_0 = Vector512.FusedMultiplyAdd(x, b0, c0_0);
            c0_1 = Vector512.FusedMultiplyAdd(x, b1, c0_1);
            x = Vector512.Create(a[1]);
            c1_0 = Vector512.FusedMultiplyAdd(x, b0, c1_0);
            c1_1 = Vector512.FusedMultiplyAdd(x, b1, c1_1);
            x = Vector512.Create(a[2]);
            c2_0 = Vector512.FusedMultiplyAdd(x, b0, c2_0);
            c2_1 = Vector512.FusedMultiplyAdd(x, b1, c2_1);
            x = Vector512.Create(a[3]);
            c3_0 = Vector512.FusedMultiplyAdd(x, b0, c3_0);
            c3_1 = Vector512.FusedMultiplyAdd(x, b1, c3_1);
            a += step;
            b += 32;
        }

        if (accumulate)
        {
            float* old = c;
            c0_0 += Vector512.Load(old);
            c0_1 += Vector512.Load(old + 16);
            old += ldc;
            c1_0 += Vector512.Load(old);
            c1_1 += Vector512.Load(old + 16);
            old += ldc;
            c2_0 += Vector512.Load(old);
            c2_1 += Vector512.Load(old + 16);
            old += ldc;
            c3_0 += Vector512.Load(old);
            c3_1 += Vector512.Load(old + 16);
        }

        c0_0.Store(c);
        c0_1.Store(c + 16);
        c += ldc;
        c1_0.Store(c);
        c1_1.Store(c + 16);
        c += ldc;
        c2_0.Store(c);
        c2_1.Store(c + 16);
        c += ldc;
        c3_0.Store(c);
        c3_1.Store(c + 16);
    }
}
