using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Loops over one contiguous piece of memory on one thread: the inside of the kernels. The result of a map may be one of its inputs.</summary>
/// <remarks>
/// Sums run in four accumulators of lanes over blocks of 256 vectors, so a lane adds 64 numbers before the blocks are added in F64: the order is fixed by the length and the
/// width alone, and narrow vectors are as exact as wide ones. A call stands only behind the loops, else the JIT would spill the accumulators in every round.
/// Compiled at once with full optimisation: in the first tier each operation of a lane is a call, a hundred times slower, and a busy machine leaves it there for seconds.
/// Never inlined: the runtime inlines whole kernels into the thunk of the worker team, and there the JIT's budget for inlining ends in the middle of an operator (20 times slower).
/// </remarks>
internal static unsafe class Loops
{
    /// <summary>Vectors that a sum in lanes takes before it goes on in F64.</summary>
    public const int VectorsPerBlock = 256;

    /// <summary>result[i] = op(x[i]); <paramref name="stream"/> stores past the caches.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Map<T, TOperator>(float* x, float* result, int count, TOperator op, bool stream = false)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, IUnaryOperator
    {
        stream &= Streams.Fit<T>(result);
        int i = 0;
        for (; i <= count - T.Count; i += T.Count)
        {
            Streams.Store(op.Invoke(T.Load(x + i)), result + i, stream);
        }

        if (i < count)
        {
            int rest = count - i;
            Partial.Store(op.Invoke(Partial.Load<T>(x + i, rest, 0)), result + i, rest);
        }
    }

    /// <summary>result[i] = op(x[i], y[i]).</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Map<T, TOperator>(float* x, float* y, float* result, int count, TOperator op, bool stream = false)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, IBinaryOperator
    {
        stream &= Streams.Fit<T>(result);
        int i = 0;
        for (; i <= count - T.Count; i += T.Count)
        {
            Streams.Store(op.Invoke(T.Load(x + i), T.Load(y + i)), result + i, stream);
        }

        if (i < count)
        {
            int rest = count - i;
            Partial.Store(op.Invoke(Partial.Load<T>(x + i, rest, 0), Partial.Load<T>(y + i, rest, 0)), result + i, rest);
        }
    }

    /// <summary>result[i] = op(x[i], y[i], z[i]).</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Map<T, TOperator>(float* x, float* y, float* z, float* result, int count, TOperator op, bool stream = false)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, ITernaryOperator
    {
        stream &= Streams.Fit<T>(result);
        int i = 0;
        for (; i <= count - T.Count; i += T.Count)
        {
            Streams.Store(op.Invoke(T.Load(x + i), T.Load(y + i), T.Load(z + i)), result + i, stream);
        }

        if (i < count)
        {
            int rest = count - i;
            Partial.Store(op.Invoke(Partial.Load<T>(x + i, rest, 0), Partial.Load<T>(y + i, rest, 0), Partial.Load<T>(z + i, rest, 0)), result + i, rest);
        }
    }

    /// <summary>result[i] = the lanes of a value, past the caches.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Fill<T>(float* result, int count, T value)
        where T : unmanaged, IFloatLanes<T>
    {
        bool stream = Streams.Fit<T>(result);
        int i = 0;
        for (; i <= count - T.Count; i += T.Count)
        {
            Streams.Store(value, result + i, stream);
        }

        if (i < count)
        {
            Partial.Store(value, result + i, count - i);
        }
    }

    /// <summary>Σ op(x[i]).</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static double Sum<T, TOperator>(float* x, int count, TOperator op)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, IUnaryOperator
    {
        int block = VectorsPerBlock * T.Count;
        double total = 0;
        for (int start = 0; start < count; start += block)
        {
            total += SumBlock<T, TOperator>(x + start, Math.Min(block, count - start), op);
        }

        return total;
    }

    /// <summary>Σ op(x[i], y[i]).</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static double Sum<T, TOperator>(float* x, float* y, int count, TOperator op)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, IBinaryOperator
    {
        int block = VectorsPerBlock * T.Count;
        double total = 0;
        for (int start = 0; start < count; start += block)
        {
            total += SumBlock<T, TOperator>(x + start, y + start, Math.Min(block, count - start), op);
        }

        return total;
    }

    /// <summary>Σ op(x[i], y[i], z[i]).</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static double Sum<T, TOperator>(float* x, float* y, float* z, int count, TOperator op)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, ITernaryOperator
    {
        int block = VectorsPerBlock * T.Count;
        double total = 0;
        for (int start = 0; start < count; start += block)
        {
            total += SumBlock<T, TOperator>(x + start, y + start, z + start, Math.Min(block, count - start), op);
        }

        return total;
    }

    /// <summary>The largest number; NaN if there is one, -∞ of none.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static float Max<T>(float* x, int count)
        where T : unmanaged, IFloatLanes<T>
    {
        T a = T.Of(float.NegativeInfinity), b = a, c = a, d = a;
        int i = 0;
        for (; i <= count - (4 * T.Count); i += 4 * T.Count)
        {
            a = T.Max(a, T.Load(x + i));
            b = T.Max(b, T.Load(x + i + T.Count));
            c = T.Max(c, T.Load(x + i + (2 * T.Count)));
            d = T.Max(d, T.Load(x + i + (3 * T.Count)));
        }

        for (; i <= count - T.Count; i += T.Count)
        {
            a = T.Max(a, T.Load(x + i));
        }

        T all = T.Max(T.Max(a, b), T.Max(c, d));
        return T.MaxOf(i < count ? T.Max(all, Partial.Load<T>(x + i, count - i, float.NegativeInfinity)) : all);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static double SumBlock<T, TOperator>(float* x, int count, TOperator op)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, IUnaryOperator
    {
        T a = T.Of(0), b = a, c = a, d = a;
        int i = 0;
        for (; i <= count - (4 * T.Count); i += 4 * T.Count)
        {
            a += op.Invoke(T.Load(x + i));
            b += op.Invoke(T.Load(x + i + T.Count));
            c += op.Invoke(T.Load(x + i + (2 * T.Count)));
            d += op.Invoke(T.Load(x + i + (3 * T.Count)));
        }

        for (; i <= count - T.Count; i += T.Count)
        {
            a += op.Invoke(T.Load(x + i));
        }

        T all = a + b + (c + d);
        if (i < count)
        {
            int rest = count - i;
            all += Partial.Keep(op.Invoke(Partial.Load<T>(x + i, rest, 0)), rest);
        }

        return T.Sum(all);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static double SumBlock<T, TOperator>(float* x, float* y, int count, TOperator op)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, IBinaryOperator
    {
        T a = T.Of(0), b = a, c = a, d = a;
        int i = 0;
        for (; i <= count - (4 * T.Count); i += 4 * T.Count)
        {
            a += op.Invoke(T.Load(x + i), T.Load(y + i));
            b += op.Invoke(T.Load(x + i + T.Count), T.Load(y + i + T.Count));
            c += op.Invoke(T.Load(x + i + (2 * T.Count)), T.Load(y + i + (2 * T.Count)));
            d += op.Invoke(T.Load(x + i + (3 * T.Count)), T.Load(y + i + (3 * T.Count)));
        }

        for (; i <= count - T.Count; i += T.Count)
        {
            a += op.Invoke(T.Load(x + i), T.Load(y + i));
        }

        T all = a + b + (c + d);
        if (i < count)
        {
            int rest = count - i;
            all += Partial.Keep(op.Invoke(Partial.Load<T>(x + i, rest, 0), Partial.Load<T>(y + i, rest, 0)), rest);
        }

        return T.Sum(all);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static double SumBlock<T, TOperator>(float* x, float* y, float* z, int count, TOperator op)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, ITernaryOperator
    {
        T a = T.Of(0), b = a, c = a, d = a;
        int i = 0;
        for (; i <= count - (4 * T.Count); i += 4 * T.Count)
        {
            a += op.Invoke(T.Load(x + i), T.Load(y + i), T.Load(z + i));
            b += op.Invoke(T.Load(x + i + T.Count), T.Load(y + i + T.Count), T.Load(z + i + T.Count));
            c += op.Invoke(T.Load(x + i + (2 * T.Count)), T.Load(y + i + (2 * T.Count)), T.Load(z + i + (2 * T.Count)));
            d += op.Invoke(T.Load(x + i + (3 * T.Count)), T.Load(y + i + (3 * T.Count)), T.Load(z + i + (3 * T.Count)));
        }

        for (; i <= count - T.Count; i += T.Count)
        {
            a += op.Invoke(T.Load(x + i), T.Load(y + i), T.Load(z + i));
        }

        T all = a + b + (c + d);
        if (i < count)
        {
            int rest = count - i;
            all += Partial.Keep(op.Invoke(Partial.Load<T>(x + i, rest, 0), Partial.Load<T>(y + i, rest, 0), Partial.Load<T>(z + i, rest, 0)), rest);
        }

        return T.Sum(all);
    }
}
