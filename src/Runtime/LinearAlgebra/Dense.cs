using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Graft.Runtime.LinearAlgebra;

/// <summary>Vector primitives in F64 with one fixed order of summation on every instruction set.</summary>
internal static class Dense
{
    private const int Lanes = 4;

    /// <summary>
    /// Runs the body for 0..count-1, on several threads if the work is worth it; bodies write disjoint memory, so the result does not depend on the
    /// threads.
    /// </summary>
    public static void For(int count, double flops, Action<int> body)
    {
        if (flops < 1e6 || count < 2)
        {
            for (int i = 0; i < count; i++)
            {
                body(i);
            }
        }
        else
        {
            _ = Parallel.For(0, count, body);
        }
    }

    /// <summary>Σ x·y in 16 running sums.</summary>
    public static double Dot(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        int count = Math.Min(x.Length, y.Length);
        ref double px = ref MemoryMarshal.GetReference(x);
        ref double py = ref MemoryMarshal.GetReference(y);
        Vector256<double> s0 = default, s1 = default, s2 = default, s3 = default;
        int i = 0;
        for (; i + (4 * Lanes) <= count; i += 4 * Lanes)
        {
            s0 = Vector256.FusedMultiplyAdd(At(ref px, i), At(ref py, i), s0);
            s1 = Vector256.FusedMultiplyAdd(At(ref px, i + Lanes), At(ref py, i + Lanes), s1);
            s2 = Vector256.FusedMultiplyAdd(At(ref px, i + (2 * Lanes)), At(ref py, i + (2 * Lanes)), s2);
            s3 = Vector256.FusedMultiplyAdd(At(ref px, i + (3 * Lanes)), At(ref py, i + (3 * Lanes)), s3);
        }

        double tail = 0;
        for (; i < count; i++)
        {
            tail = Math.FusedMultiplyAdd(x[i], y[i], tail);
        }

        Vector256<double> s = (s0 + s1) + (s2 + s3);
        return ((s[0] + s[1]) + (s[2] + s[3])) + tail;
    }

    /// <summary>y += α x.</summary>
    public static void Axpy(double alpha, ReadOnlySpan<double> x, Span<double> y)
    {
        int count = Math.Min(x.Length, y.Length);
        ref double px = ref MemoryMarshal.GetReference(x);
        ref double py = ref MemoryMarshal.GetReference(y);
        Vector256<double> a = Vector256.Create(alpha);
        int i = 0;
        for (; i + Lanes <= count; i += Lanes)
        {
            Vector256.FusedMultiplyAdd(a, At(ref px, i), At(ref py, i)).StoreUnsafe(ref py, (nuint)i);
        }

        for (; i < count; i++)
        {
            y[i] = Math.FusedMultiplyAdd(alpha, x[i], y[i]);
        }
    }

    /// <summary>(x, y) becomes (c x - s y, s x + c y).</summary>
    public static void Rotate(Span<double> x, Span<double> y, double cos, double sin)
    {
        int count = Math.Min(x.Length, y.Length);
        ref double px = ref MemoryMarshal.GetReference(x);
        ref double py = ref MemoryMarshal.GetReference(y);
        Vector256<double> c = Vector256.Create(cos), s = Vector256.Create(sin), minus = Vector256.Create(-sin);
        int i = 0;
        for (; i + Lanes <= count; i += Lanes)
        {
            Vector256<double> vx = At(ref px, i), vy = At(ref py, i);
            Vector256.FusedMultiplyAdd(c, vx, minus * vy).StoreUnsafe(ref px, (nuint)i);
            Vector256.FusedMultiplyAdd(s, vx, c * vy).StoreUnsafe(ref py, (nuint)i);
        }

        for (; i < count; i++)
        {
            (x[i], y[i]) = (Math.FusedMultiplyAdd(cos, x[i], -sin * y[i]), Math.FusedMultiplyAdd(sin, x[i], cos * y[i]));
        }
    }

    /// <summary>The largest magnitude.</summary>
    public static double MaxAbs(ReadOnlySpan<double> x)
    {
        double max = 0;
        foreach (double v in x)
        {
            max = Math.Max(max, Math.Abs(v));
        }

        return max;
    }

    /// <summary>The transpose of a rows x columns matrix, in tiles of 16 x 16.</summary>
    public static double[] Transpose(ReadOnlySpan<double> a, int rows, int columns)
    {
        double[] result = new double[a.Length];
        for (int r0 = 0; r0 < rows; r0 += 16)
        {
            for (int c0 = 0; c0 < columns; c0 += 16)
            {
                for (int r = r0; r < Math.Min(rows, r0 + 16); r++)
                {
                    for (int c = c0; c < Math.Min(columns, c0 + 16); c++)
                    {
                        result[(c * rows) + r] = a[(r * columns) + c];
                    }
                }
            }
        }

        return result;
    }

    /// <summary>The n x n identity.</summary>
    public static double[] Identity(int n)
    {
        double[] result = new double[n * n];
        for (int i = 0; i < n; i++)
        {
            result[(i * n) + i] = 1;
        }

        return result;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<double> At(ref double p, int i) => Vector256.LoadUnsafe(ref p, (nuint)i);
}
