using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>The inner loop of softmaxes, e^(x - shift) and the sum of it, with the constants of the exponential in registers: 11 cycles a vector of 512 bits instead of 15.</summary>
/// <remarks>Sums are those of <see cref="Loops"/>, in the same order.</remarks>
internal static unsafe class ExpLoop
{
    /// <summary>Σ e^(x[i] - shift), each stored where there is a <paramref name="result"/>.</summary>
    public static double Sum<T>(float* x, float* result, int count, float shift)
        where T : unmanaged, IFloatLanes<T>
    {
        int block = Loops.VectorsPerBlock * T.Count;
        double total = 0;
        for (int start = 0; start < count; start += block)
        {
            total += Block<T>(x + start, result == null ? null : result + start, Math.Min(block, count - start), 0, shift, out _);
        }

        return total;
    }

    /// <summary>The shift and log Σ e^(x - shift), where the shift is the largest number, 0 if that is infinite.</summary>
    /// <remarks>Block by block against the largest so far, which is known a block ahead: a row comes from memory once, while exponentials of the block before are computed.</remarks>
    public static (float Shift, double LogSum) LogSum<T>(float* x, int count)
        where T : unmanaged, IFloatLanes<T>
    {
        int block = Loops.VectorsPerBlock * T.Count;
        float top = Loops.Max<T>(x, Math.Min(block, count)), shift = Finite(top);
        double sum = 0;
        for (int start = 0; start < count; start += block)
        {
            int length = Math.Min(block, count - start);
            sum += Block<T>(x + start, null, length, Math.Min(block, count - start - length), shift, out float next);
            if (next > top)
            {
                float before = shift;
                top = next;
                shift = Finite(top);
                sum = sum == 0 ? 0 : sum * Math.Exp((double)before - shift);
            }
        }

        return (shift, Math.Log(sum));

        static float Finite(float max) => float.IsInfinity(max) ? 0 : max;
    }

    /// <summary>The sum of at most a block, and the largest of the <paramref name="ahead"/> numbers behind it; that may lose a NaN, which their sum will not.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static double Block<T>(float* x, float* result, int count, int ahead, float shift, out float max)
        where T : unmanaged, IFloatLanes<T>
    {
        float[] k = VectorMath.ExpConstants;
        T least = T.Of(k[0]), most = T.Of(k[1]), log2E = T.Of(k[2]), rounder = T.Of(k[3]), high = T.Of(k[4]), low = T.Of(k[5]);
        T c5 = T.Of(k[6]), c4 = T.Of(k[7]), c3 = T.Of(k[8]), c2 = T.Of(k[9]), c1 = T.Of(k[10]), one = T.Of(k[11]), minus = T.Of(shift);
        T a = T.Of(0), b = a, c = a, d = a, top = T.Of(float.NegativeInfinity), other = top;
        float* next = x + count;
        int i = 0;
        for (; i <= count - (4 * T.Count); i += 4 * T.Count)
        {
            if (i <= ahead - (4 * T.Count))
            {
                top = T.MaxNative(top, T.MaxNative(T.Load(next + i), T.Load(next + i + T.Count)));
                other = T.MaxNative(other, T.MaxNative(T.Load(next + i + (2 * T.Count)), T.Load(next + i + (3 * T.Count))));
            }

            T ea = VectorMath.Exp(T.Load(x + i) - minus, least, most, log2E, rounder, high, low, c5, c4, c3, c2, c1, one);
            T eb = VectorMath.Exp(T.Load(x + i + T.Count) - minus, least, most, log2E, rounder, high, low, c5, c4, c3, c2, c1, one);
            T ec = VectorMath.Exp(T.Load(x + i + (2 * T.Count)) - minus, least, most, log2E, rounder, high, low, c5, c4, c3, c2, c1, one);
            T ed = VectorMath.Exp(T.Load(x + i + (3 * T.Count)) - minus, least, most, log2E, rounder, high, low, c5, c4, c3, c2, c1, one);
            if (result != null)
            {
                T.Store(ea, result + i);
                T.Store(eb, result + i + T.Count);
                T.Store(ec, result + i + (2 * T.Count));
                T.Store(ed, result + i + (3 * T.Count));
            }

            a += ea;
            b += eb;
            c += ec;
            d += ed;
        }

        int seen = Math.Min(i, ahead / (4 * T.Count) * (4 * T.Count));
        for (; i <= count - T.Count; i += T.Count)
        {
            T e = VectorMath.Exp(T.Load(x + i) - minus, least, most, log2E, rounder, high, low, c5, c4, c3, c2, c1, one);
            a += e;
            if (result != null)
            {
                T.Store(e, result + i);
            }
        }

        T all = a + b + (c + d);
        if (i < count)
        {
            int rest = count - i;
            T e = VectorMath.Exp(Partial.Load<T>(x + i, rest, 0) - minus, least, most, log2E, rounder, high, low, c5, c4, c3, c2, c1, one);
            all += Partial.Keep(e, rest);
            if (result != null)
            {
                Partial.Store(e, result + i, rest);
            }
        }

        max = T.MaxOf(T.Max(top, other));
        max = seen < ahead ? Math.Max(max, Loops.Max<T>(next + seen, ahead - seen)) : max;
        return T.Sum(all);
    }
}
