using System.Numerics;
using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Whole blocks of parameters and gradients: squares for the norm, y ← y + a x, x ← a x.</summary>
internal static unsafe class FlatBlocks
{
    private const int MaxParts = 64;

    /// <summary>Σ x² with products and sums in F64, in an order that depends on the length alone; infinite or NaN only if an element is.</summary>
    public static double SumOfSquares(WorkerTeam team, ReadOnlySpan<float> x)
    {
        double* parts = stackalloc double[MaxParts];
        int chunks = Math.Min(MaxParts, WorkerTeam.ChunksFor(x.Length));
        fixed (float* px = x)
        {
            Squares work = new(px, x.Length, chunks, parts);
            team.Run(chunks, ref work);
        }

        double total = 0;
        for (int i = 0; i < chunks; i++)
        {
            total += parts[i];
        }

        return total;
    }

    /// <summary>y ← y + a · x.</summary>
    public static void Axpy(WorkerTeam team, double a, ReadOnlySpan<float> x, Span<float> y) => Elementwise.Run(team, y, x, y, new AddScaledOperator(a));

    /// <summary>x ← a · x.</summary>
    public static void Scale(WorkerTeam team, double a, Span<float> x) => Elementwise.Run(team, x, x, new ScaleOperator(a));

    private readonly struct Squares(float* x, int n, int chunks, double* parts) : IChunkWork
    {
        private readonly float* _x = x;
        private readonly int _n = n;
        private readonly int _chunks = chunks;
        private readonly double* _parts = parts;

        public void Invoke(int chunk, int worker)
        {
            long start = (long)_n * chunk / _chunks;
            long end = (long)_n * (chunk + 1) / _chunks;
            _parts[chunk] = Sum(_x + start, (int)(end - start));
        }

        [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
        private static double Sum(float* x, int count)
        {
            Vector<double> a = Vector<double>.Zero, b = a, c = a, d = a;
            int width = Vector<float>.Count;
            int i = 0;
            for (; i <= count - (2 * width); i += 2 * width)
            {
                Vector.Widen(Vector.Load(x + i), out Vector<double> low, out Vector<double> high);
                Vector.Widen(Vector.Load(x + i + width), out Vector<double> low2, out Vector<double> high2);
                a += low * low;
                b += high * high;
                c += low2 * low2;
                d += high2 * high2;
            }

            double sum = Vector.Sum(a + b + (c + d));
            for (; i < count; i++)
            {
                sum += (double)x[i] * x[i];
            }

            return sum;
        }
    }
}
