using System.Runtime.Intrinsics;

namespace Graft.Runtime.Cpu;

/// <summary>Rows of F32 or BF16.</summary>
internal readonly unsafe struct ElementDots<TLoad> : IRowDots
    where TLoad : IElementLoad
{
    private const int LongRow = 8192; // from here on x leaves no room in L1 for B: 2048 x 8192, BF16, two cores, 28.7 GB/s by two rows at once and 22.4 by one

    public static int Height => 4;

    public static long RowBytes(in GemmCall c) => c.LeadingB * TLoad.Size;

    public static void Prepare(in GemmCall c, float* scratch)
    {
    }

    public static void Dots(in GemmCall c, int m, int height, byte* b, int rows, float* scratch, float* sums)
    {
        float* x = (float*)c.A + (m * c.LeadingA);
        if (Vector512.IsHardwareAccelerated)
        {
            Dots<Lanes512>(c.K, x, c.LeadingA, height, b, RowBytes(c), rows, sums);
        }
        else
        {
            Dots<Lanes256>(c.K, x, c.LeadingA, height, b, RowBytes(c), rows, sums);
        }
    }

    /// <summary>sums[i + 4·j] = x[i] · b[j] for up to 4 rows x; those beyond the last repeat it.</summary>
    public static void Dots<T>(int k, float* x, long ldx, int height, byte* b, long rowBytes, int rows, float* sums)
        where T : unmanaged, IFloatLanes<T>
    {
        float* x1 = x + (Math.Min(1, height - 1) * ldx);
        float* x2 = x + (Math.Min(2, height - 1) * ldx);
        float* x3 = x + (Math.Min(3, height - 1) * ldx);
        if (height == 1 && k >= LongRow)
        {
            // A last row without a neighbour is its own, so that every row is summed in the same order wherever B is cut.
            for (int row = 0; row < rows; row += 2, b += 2 * rowBytes, sums += 2 * Height)
            {
                bool two = row + 1 < rows;
                Two<T>(k, x, b, two ? b + rowBytes : b, sums, two ? sums + Height : sums);
            }

            return;
        }

        for (int row = 0; row < rows; row++, b += rowBytes, sums += Height)
        {
            if (height == 1)
            {
                *sums = One<T>(k, x, b);
            }
            else
            {
                Four<T>(k, x, x1, x2, x3, b, sums);
            }
        }
    }

    private static float One<T>(int k, float* x, void* b)
        where T : unmanaged, IFloatLanes<T>
    {
        T s0 = T.Of(0f), s1 = s0, s2 = s0, s3 = s0;
        int i = 0;
        for (; i + (4 * T.Count) <= k; i += 4 * T.Count)
        {
            s0 = T.Fma(ElementLanes<TLoad>.Load<T>(b, i), T.Load(x + i), s0);
            s1 = T.Fma(ElementLanes<TLoad>.Load<T>(b, i + T.Count), T.Load(x + i + T.Count), s1);
            s2 = T.Fma(ElementLanes<TLoad>.Load<T>(b, i + (2 * T.Count)), T.Load(x + i + (2 * T.Count)), s2);
            s3 = T.Fma(ElementLanes<TLoad>.Load<T>(b, i + (3 * T.Count)), T.Load(x + i + (3 * T.Count)), s3);
        }

        for (; i + T.Count <= k; i += T.Count)
        {
            s0 = T.Fma(ElementLanes<TLoad>.Load<T>(b, i), T.Load(x + i), s0);
        }

        return T.Sum(s0 + s1 + (s2 + s3)) + Rest(i, k, x, b);
    }

    /// <summary>Two rows of B, which are long enough to be two streams: x is read once for both.</summary>
    private static void Two<T>(int k, float* x, void* b0, void* b1, float* sum0, float* sum1)
        where T : unmanaged, IFloatLanes<T>
    {
        T s0 = T.Of(0f), s1 = s0, t0 = s0, t1 = s0;
        int i = 0;
        for (; i + (2 * T.Count) <= k; i += 2 * T.Count)
        {
            T y = T.Load(x + i);
            T z = T.Load(x + i + T.Count);
            s0 = T.Fma(ElementLanes<TLoad>.Load<T>(b0, i), y, s0);
            t0 = T.Fma(ElementLanes<TLoad>.Load<T>(b1, i), y, t0);
            s1 = T.Fma(ElementLanes<TLoad>.Load<T>(b0, i + T.Count), z, s1);
            t1 = T.Fma(ElementLanes<TLoad>.Load<T>(b1, i + T.Count), z, t1);
        }

        *sum0 = T.Sum(s0 + s1) + Rest(i, k, x, b0);
        *sum1 = T.Sum(t0 + t1) + Rest(i, k, x, b1);
    }

    private static void Four<T>(int k, float* x0, float* x1, float* x2, float* x3, void* b, float* sums)
        where T : unmanaged, IFloatLanes<T>
    {
        T s0 = T.Of(0f), s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
        int i = 0;
        for (; i + (2 * T.Count) <= k; i += 2 * T.Count)
        {
            int j = i + T.Count;
            T y = ElementLanes<TLoad>.Load<T>(b, i);
            T z = ElementLanes<TLoad>.Load<T>(b, j);
            s0 = T.Fma(y, T.Load(x0 + i), s0);
            s1 = T.Fma(y, T.Load(x1 + i), s1);
            s2 = T.Fma(y, T.Load(x2 + i), s2);
            s3 = T.Fma(y, T.Load(x3 + i), s3);
            t0 = T.Fma(z, T.Load(x0 + j), t0);
            t1 = T.Fma(z, T.Load(x1 + j), t1);
            t2 = T.Fma(z, T.Load(x2 + j), t2);
            t3 = T.Fma(z, T.Load(x3 + j), t3);
        }

        sums[0] = T.Sum(s0 + t0) + Rest(i, k, x0, b);
        sums[1] = T.Sum(s1 + t1) + Rest(i, k, x1, b);
        sums[2] = T.Sum(s2 + t2) + Rest(i, k, x2, b);
        sums[3] = T.Sum(s3 + t3) + Rest(i, k, x3, b);
    }

    private static float Rest(int i, int k, float* x, void* b)
    {
        float sum = 0;
        for (; i < k; i++)
        {
            sum += x[i] * TLoad.One(b, i);
        }

        return sum;
    }
}
