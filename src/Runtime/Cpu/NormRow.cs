using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>The first of two passes over a row in the backward of a norm: both sums that dx needs, and the row's part of dw and db.</summary>
/// <remarks>One pass in place of four: the row is read once more for dx, from the first-level cache.</remarks>
internal static unsafe class NormRow
{
    private const int VectorsPerBlock = 128;

    /// <summary>Σ w dy and Σ w dy x̂ with x̂ = (x - mean) · rstd; dw += dy x̂ and db += dy where given.</summary>
    public static (double Sum, double Dot) Collect<T>(float* x, float* w, float* dy, float* dw, float* db, int count, float mean, float rstd)
        where T : unmanaged, IFloatLanes<T>
    {
        int block = VectorsPerBlock * T.Count;
        double sum = 0, dot = 0;
        for (int i = 0; i < count; i += block)
        {
            Block<T>(x + i, w + i, dy + i, dw == null ? null : dw + i, db == null ? null : db + i, Math.Min(block, count - i), mean, rstd, ref sum, ref dot);
        }

        return (sum, dot);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Block<T>(float* x, float* w, float* dy, float* dw, float* db, int count, float mean, float rstd, ref double sum, ref double dot)
        where T : unmanaged, IFloatLanes<T>
    {
        T m = T.Of(mean), r = T.Of(rstd);
        T sumA = T.Of(0f), sumB = sumA, dotA = sumA, dotB = sumA;
        int i = 0;
        for (; i <= count - (2 * T.Count); i += 2 * T.Count)
        {
            One(x + i, w + i, dy + i, dw == null ? null : dw + i, db == null ? null : db + i, m, r, ref sumA, ref dotA);
            int j = i + T.Count;
            One(x + j, w + j, dy + j, dw == null ? null : dw + j, db == null ? null : db + j, m, r, ref sumB, ref dotB);
        }

        LanesScalar s = default, d = default;
        for (; i < count; i++)
        {
            One(x + i, w + i, dy + i, dw == null ? null : dw + i, db == null ? null : db + i, new LanesScalar(mean), new LanesScalar(rstd), ref s, ref d);
        }

        sum += T.Sum(sumA + sumB) + (double)s.Value;
        dot += T.Sum(dotA + dotB) + (double)d.Value;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void One<T>(float* x, float* w, float* dy, float* dw, float* db, T mean, T rstd, ref T sum, ref T dot)
        where T : unmanaged, IFloatLanes<T>
    {
        // Loads before stores: the buffers often lie whole pages apart, and a load behind a store to the same place of another page waits for it.
        T gradient = T.Load(dy);
        T normal = (T.Load(x) - mean) * rstd;
        T weighted = T.Load(w) * gradient;
        T oldWeight = dw == null ? gradient : T.Load(dw), oldBias = db == null ? gradient : T.Load(db);
        sum += weighted;
        dot = T.Fma(weighted, normal, dot);
        if (dw != null)
        {
            T.Store(T.Fma(gradient, normal, oldWeight), dw);
        }

        if (db != null)
        {
            T.Store(oldBias + gradient, db);
        }
    }
}
