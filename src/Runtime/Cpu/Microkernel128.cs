using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Graft.Runtime.Cpu;

/// <summary>Register-blocked inner products of packed panels on 128-bit vectors: 8 columns, 6, 4 or 2 rows; also the path without vector hardware.</summary>
/// <remarks>For the shape of the code see <see cref="Microkernel512"/>.</remarks>
internal static unsafe class Microkernel128
{
    /// <summary>C (6 x 8) = or += panel A (k x 6, step apart) times panel B (k x 8).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows6(int k, float* a, long step, float* b, float* c, long ldc, bool accumulate)
    {
        Vector128<float> c0_0 = Vector128<float>.Zero, c0_1 = Vector128<float>.Zero;
        Vector128<float> c1_0 = Vector128<float>.Zero, c1_1 = Vector128<float>.Zero;
        Vector128<float> c2_0 = Vector128<float>.Zero, c2_1 = Vector128<float>.Zero;
        Vector128<float> c3_0 = Vector128<float>.Zero, c3_1 = Vector128<float>.Zero;
        Vector128<float> c4_0 = Vector128<float>.Zero, c4_1 = Vector128<float>.Zero;
        Vector128<float> c5_0 = Vector128<float>.Zero, c5_1 = Vector128<float>.Zero;
        for (; k > 0; k--)
        {
            Vector128<float> b0 = Vector128.Load(b);
            Vector128<float> b1 = Vector128.Load(b + 4);
            Vector128<float> x;
            x = Vector128.Create(a[0]);
            c0_0 = Vector128.MultiplyAddEstimate(x, b0, c0_0);
            c0_1 = Vector128.MultiplyAddEstimate(x, b1, c0_1);
            x = Vector128.Create(a[1]);
            c1_0 = Vector128.MultiplyAddEstimate(x, b0, c1_0);
            c1_1 = Vector128.MultiplyAddEstimate(x, b1, c1_1);
            x = Vector128.Create(a[2]);
            c2_0 = Vector128.MultiplyAddEstimate(x, b0, c2_0);
            c2_1 = Vector128.MultiplyAddEstimate(x, b1, c2_1);
            x = Vector128.Create(a[3]);
            c3_0 = Vector128.MultiplyAddEstimate(x, b0, c3_0);
            c3_1 = Vector128.MultiplyAddEstimate(x, b1, c3_1);
            x = Vector128.Create(a[4]);
            c4_0 = Vector128.MultiplyAddEstimate(x, b0, c4_0);
            c4_1 = Vector128.MultiplyAddEstimate(x, b1, c4_1);
            x = Vector128.Create(a[5]);
            c5_0 = Vector128.MultiplyAddEstimate(x, b0, c5_0);
            c5_1 = Vector128.MultiplyAddEstimate(x, b1, c5_1);
            a += step;
            b += 8;
        }

        if (accumulate)
        {
            float* old = c;
            c0_0 += Vector128.Load(old);
            c0_1 += Vector128.Load(old + 4);
            old += ldc;
            c1_0 += Vector128.Load(old);
            c1_1 += Vector128.Load(old + 4);
            old += ldc;
            c2_0 += Vector128.Load(old);
            c2_1 += Vector128.Load(old + 4);
            old += ldc;
            c3_0 += Vector128.Load(old);
            c3_1 += Vector128.Load(old + 4);
            old += ldc;
            c4_0 += Vector128.Load(old);
            c4_1 += Vector128.Load(old + 4);
            old += ldc;
            c5_0 += Vector128.Load(old);
            c5_1 += Vector128.Load(old + 4);
        }

        c0_0.Store(c);
        c0_1.Store(c + 4);
        c += ldc;
        c1_0.Store(c);
        c1_1.Store(c + 4);
        c += ldc;
        c2_0.Store(c);
        c2_1.Store(c + 4);
        c += ldc;
        c3_0.Store(c);
        c3_1.Store(c + 4);
        c += ldc;
        c4_0.Store(c);
        c4_1.Store(c + 4);
        c += ldc;
        c5_0.Store(c);
        c5_1.Store(c + 4);
    }

    /// <summary>C (4 x 8) = or += panel A (k x 4, step apart) times panel B (k x 8).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows4(int k, float* a, long step, float* b, float* c, long ldc, bool accumulate)
    {
        Vector128<float> c0_0 = Vector128<float>.Zero, c0_1 = Vector128<float>.Zero;
        Vector128<float> c1_0 = Vector128<float>.Zero, c1_1 = Vector128<float>.Zero;
        Vector128<float> c2_0 = Vector128<float>.Zero, c2_1 = Vector128<float>.Zero;
        Vector128<float> c3_0 = Vector128<float>.Zero, c3_1 = Vector128<float>.Zero;
        for (; k > 0; k--)
        {
            Vector128<float> b0 = Vector128.Load(b);
            Vector128<float> b1 = Vector128.Load(b + 4);
            Vector128<float> x;
            x = Vector128.Create(a[0]);
            c0_0 = Vector128.MultiplyAddEstimate(x, b0, c0_0);
            c0_1 = Vector128.MultiplyAddEstimate(x, b1, c0_1);
            x = Vector128.Create(a[1]);
            c1_0 = Vector128.MultiplyAddEstimate(x, b0, c1_0);
            c1_1 = Vector128.MultiplyAddEstimate(x, b1, c1_1);
            x = Vector128.Create(a[2]);
            c2_0 = Vector128.MultiplyAddEstimate(x, b0, c2_0);
            c2_1 = Vector128.MultiplyAddEstimate(x, b1, c2_1);
            x = Vector128.Create(a[3]);
            c3_0 = Vector128.MultiplyAddEstimate(x, b0, c3_0);
            c3_1 = Vector128.MultiplyAddEstimate(x, b1, c3_1);
            a += step;
            b += 8;
        }

        if (accumulate)
        {
            float* old = c;
            c0_0 += Vector128.Load(old);
            c0_1 += Vector128.Load(old + 4);
            old += ldc;
            c1_0 += Vector128.Load(old);
            c1_1 += Vector128.Load(old + 4);
            old += ldc;
            c2_0 += Vector128.Load(old);
            c2_1 += Vector128.Load(old + 4);
            old += ldc;
            c3_0 += Vector128.Load(old);
            c3_1 += Vector128.Load(old + 4);
        }

        c0_0.Store(c);
        c0_1.Store(c + 4);
        c += ldc;
        c1_0.Store(c);
        c1_1.Store(c + 4);
        c += ldc;
        c2_0.Store(c);
        c2_1.Store(c + 4);
        c += ldc;
        c3_0.Store(c);
        c3_1.Store(c + 4);
    }

    /// <summary>C (2 x 8) = or += panel A (k x 2, step apart) times panel B (k x 8).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows2(int k, float* a, long step, float* b, float* c, long ldc, bool accumulate)
    {
        Vector128<float> c0_0 = Vector128<float>.Zero, c0_1 = Vector128<float>.Zero;
        Vector128<float> c1_0 = Vector128<float>.Zero, c1_1 = Vector128<float>.Zero;
        for (; k > 0; k--)
        {
            Vector128<float> b0 = Vector128.Load(b);
            Vector128<float> b1 = Vector128.Load(b + 4);
            Vector128<float> x;
            x = Vector128.Create(a[0]);
            c0_0 = Vector128.MultiplyAddEstimate(x, b0, c0_0);
            c0_1 = Vector128.MultiplyAddEstimate(x, b1, c0_1);
            x = Vector128.Create(a[1]);
            c1_0 = Vector128.MultiplyAddEstimate(x, b0, c1_0);
            c1_1 = Vector128.MultiplyAddEstimate(x, b1, c1_1);
            a += step;
            b += 8;
        }

        if (accumulate)
        {
            float* old = c;
            c0_0 += Vector128.Load(old);
            c0_1 += Vector128.Load(old + 4);
            old += ldc;
            c1_0 += Vector128.Load(old);
            c1_1 += Vector128.Load(old + 4);
        }

        c0_0.Store(c);
        c0_1.Store(c + 4);
        c += ldc;
        c1_0.Store(c);
        c1_1.Store(c + 4);
    }
}
