using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Graft.Runtime.Cpu;

/// <summary>Register-blocked inner products of packed panels on 256-bit vectors: 16 columns, 6, 4 or 2 rows.</summary>
/// <remarks>6 x 16 holds 12 accumulators, two columns of B and one broadcast in 15 of 16 registers. For the shape of the code see <see cref="Microkernel512"/>.</remarks>
internal static unsafe class Microkernel256
{
    /// <summary>C (6 x 16) = or += panel A (k x 6, step apart) times panel B (k x 16).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows6(int k, float* a, long step, float* b, float* c, long ldc, bool accumulate)
    {
        Vector256<float> c0_0 = Vector256<float>.Zero, c0_1 = Vector256<float>.Zero;
        Vector256<float> c1_0 = Vector256<float>.Zero, c1_1 = Vector256<float>.Zero;
        Vector256<float> c2_0 = Vector256<float>.Zero, c2_1 = Vector256<float>.Zero;
        Vector256<float> c3_0 = Vector256<float>.Zero, c3_1 = Vector256<float>.Zero;
        Vector256<float> c4_0 = Vector256<float>.Zero, c4_1 = Vector256<float>.Zero;
        Vector256<float> c5_0 = Vector256<float>.Zero, c5_1 = Vector256<float>.Zero;
        for (; k > 0; k--)
        {
            Vector256<float> b0 = Vector256.Load(b);
            Vector256<float> b1 = Vector256.Load(b + 8);
            Vector256<float> x;
            x = Vector256.Create(a[0]);
            c0_0 = Vector256.MultiplyAddEstimate(x, b0, c0_0);
            c0_1 = Vector256.MultiplyAddEstimate(x, b1, c0_1);
            x = Vector256.Create(a[1]);
            c1_0 = Vector256.MultiplyAddEstimate(x, b0, c1_0);
            c1_1 = Vector256.MultiplyAddEstimate(x, b1, c1_1);
            x = Vector256.Create(a[2]);
            c2_0 = Vector256.MultiplyAddEstimate(x, b0, c2_0);
            c2_1 = Vector256.MultiplyAddEstimate(x, b1, c2_1);
            x = Vector256.Create(a[3]);
            c3_0 = Vector256.MultiplyAddEstimate(x, b0, c3_0);
            c3_1 = Vector256.MultiplyAddEstimate(x, b1, c3_1);
            x = Vector256.Create(a[4]);
            c4_0 = Vector256.MultiplyAddEstimate(x, b0, c4_0);
            c4_1 = Vector256.MultiplyAddEstimate(x, b1, c4_1);
            x = Vector256.Create(a[5]);
            c5_0 = Vector256.MultiplyAddEstimate(x, b0, c5_0);
            c5_1 = Vector256.MultiplyAddEstimate(x, b1, c5_1);
            a += step;
            b += 16;
        }

        if (accumulate)
        {
            float* old = c;
            c0_0 += Vector256.Load(old);
            c0_1 += Vector256.Load(old + 8);
            old += ldc;
            c1_0 += Vector256.Load(old);
            c1_1 += Vector256.Load(old + 8);
            old += ldc;
            c2_0 += Vector256.Load(old);
            c2_1 += Vector256.Load(old + 8);
            old += ldc;
            c3_0 += Vector256.Load(old);
            c3_1 += Vector256.Load(old + 8);
            old += ldc;
            c4_0 += Vector256.Load(old);
            c4_1 += Vector256.Load(old + 8);
            old += ldc;
            c5_0 += Vector256.Load(old);
            c5_1 += Vector256.Load(old + 8);
        }

        c0_0.Store(c);
        c0_1.Store(c + 8);
        c += ldc;
        c1_0.Store(c);
        c1_1.Store(c + 8);
        c += ldc;
        c2_0.Store(c);
        c2_1.Store(c + 8);
        c += ldc;
        c3_0.Store(c);
        c3_1.Store(c + 8);
        c += ldc;
        c4_0.Store(c);
        c4_1.Store(c + 8);
        c += ldc;
        c5_0.Store(c);
        c5_1.Store(c + 8);
    }

    /// <summary>C (4 x 16) = or += panel A (k x 4, step apart) times panel B (k x 16).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows4(int k, float* a, long step, float* b, float* c, long ldc, bool accumulate)
    {
        Vector256<float> c0_0 = Vector256<float>.Zero, c0_1 = Vector256<float>.Zero;
        Vector256<float> c1_0 = Vector256<float>.Zero, c1_1 = Vector256<float>.Zero;
        Vector256<float> c2_0 = Vector256<float>.Zero, c2_1 = Vector256<float>.Zero;
        Vector256<float> c3_0 = Vector256<float>.Zero, c3_1 = Vector256<float>.Zero;
        for (; k > 0; k--)
        {
            Vector256<float> b0 = Vector256.Load(b);
            Vector256<float> b1 = Vector256.Load(b + 8);
            Vector256<float> x;
            x = Vector256.Create(a[0]);
            c0_0 = Vector256.MultiplyAddEstimate(x, b0, c0_0);
            c0_1 = Vector256.MultiplyAddEstimate(x, b1, c0_1);
            x = Vector256.Create(a[1]);
            c1_0 = Vector256.MultiplyAddEstimate(x, b0, c1_0);
            c1_1 = Vector256.MultiplyAddEstimate(x, b1, c1_1);
            x = Vector256.Create(a[2]);
            c2_0 = Vector256.MultiplyAddEstimate(x, b0, c2_0);
            c2_1 = Vector256.MultiplyAddEstimate(x, b1, c2_1);
            x = Vector256.Create(a[3]);
            c3_0 = Vector256.MultiplyAddEstimate(x, b0, c3_0);
            c3_1 = Vector256.MultiplyAddEstimate(x, b1, c3_1);
            a += step;
            b += 16;
        }

        if (accumulate)
        {
            float* old = c;
            c0_0 += Vector256.Load(old);
            c0_1 += Vector256.Load(old + 8);
            old += ldc;
            c1_0 += Vector256.Load(old);
            c1_1 += Vector256.Load(old + 8);
            old += ldc;
            c2_0 += Vector256.Load(old);
            c2_1 += Vector256.Load(old + 8);
            old += ldc;
            c3_0 += Vector256.Load(old);
            c3_1 += Vector256.Load(old + 8);
        }

        c0_0.Store(c);
        c0_1.Store(c + 8);
        c += ldc;
        c1_0.Store(c);
        c1_1.Store(c + 8);
        c += ldc;
        c2_0.Store(c);
        c2_1.Store(c + 8);
        c += ldc;
        c3_0.Store(c);
        c3_1.Store(c + 8);
    }

    /// <summary>C (2 x 16) = or += panel A (k x 2, step apart) times panel B (k x 16).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows2(int k, float* a, long step, float* b, float* c, long ldc, bool accumulate)
    {
        Vector256<float> c0_0 = Vector256<float>.Zero, c0_1 = Vector256<float>.Zero;
        Vector256<float> c1_0 = Vector256<float>.Zero, c1_1 = Vector256<float>.Zero;
        for (; k > 0; k--)
        {
            Vector256<float> b0 = Vector256.Load(b);
            Vector256<float> b1 = Vector256.Load(b + 8);
            Vector256<float> x;
            x = Vector256.Create(a[0]);
            c0_0 = Vector256.MultiplyAddEstimate(x, b0, c0_0);
            c0_1 = Vector256.MultiplyAddEstimate(x, b1, c0_1);
            x = Vector256.Create(a[1]);
            c1_0 = Vector256.MultiplyAddEstimate(x, b0, c1_0);
            c1_1 = Vector256.MultiplyAddEstimate(x, b1, c1_1);
            a += step;
            b += 16;
        }

        if (accumulate)
        {
            float* old = c;
            c0_0 += Vector256.Load(old);
            c0_1 += Vector256.Load(old + 8);
            old += ldc;
            c1_0 += Vector256.Load(old);
            c1_1 += Vector256.Load(old + 8);
        }

        c0_0.Store(c);
        c0_1.Store(c + 8);
        c += ldc;
        c1_0.Store(c);
        c1_1.Store(c + 8);
    }
}
