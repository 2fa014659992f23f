using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Graft.Runtime.LinearAlgebra;

/// <summary>A = Q T Qᵀ with tridiagonal T, by Householder reflections.</summary>
internal static class Tridiagonal
{
    private const int RowChunk = 64;

    /// <summary>Destroys the symmetric a (n, n); d takes the diagonal of T, e[0..n-2] what is beside it. Returns Q as blocks on rows 1 and on.</summary>
    /// <remarks>
    /// The rank-two update of one step and the matrix-vector product of the next go over the matrix together: once in and out of memory per step.
    /// </remarks>
    public static List<BlockReflector> Reduce(double[] a, int n, double[] d, double[] e)
    {
        List<BlockReflector> blocks = [];
        double[] vt = [];
        double[] tau = [];
        double[] v = new double[n], w = new double[n], next = new double[n], p = new double[n]; // indices are those of the matrix
        for (int k = 0; k < n; k++)
        {
            Span<double> row = a.AsSpan(k * n, n);
            Update(row[k..], v[k], w[k], v.AsSpan(k), w.AsSpan(k));
            d[k] = row[k];
            if (k == n - 1)
            {
                break;
            }

            int slot = k % BlockReflector.Size;
            int height = n - 1 - k;
            if (slot == 0)
            {
                tau = new double[Math.Min(BlockReflector.Size, height)];
                vt = new double[tau.Length * height];
            }

            row[(k + 1)..].CopyTo(next.AsSpan(k + 1));
            e[k] = BlockReflector.Make(next.AsSpan(k + 1), out double t);
            tau[slot] = t;
            int blockRows = vt.Length / tau.Length;
            next.AsSpan(k + 1).CopyTo(vt.AsSpan((slot * blockRows) + slot));
            if (slot == tau.Length - 1)
            {
                blocks.Add(new BlockReflector(k - slot + 1, blockRows, vt, tau));
            }

            int first = k + 1;
            int chunks = (height + RowChunk - 1) / RowChunk;
            Dense.For(chunks, 6.0 * height * height, chunk =>
            {
                int end = Math.Min(n, first + ((chunk + 1) * RowChunk));
                for (int i = first + (chunk * RowChunk); i < end; i++)
                {
                    Span<double> line = a.AsSpan((i * n) + first, n - first);
                    Update(line, v[i], w[i], v.AsSpan(first), w.AsSpan(first));
                    p[i] = Dense.Dot(line, next.AsSpan(first));
                }
            });

            double half = 0.5 * t * t * Dense.Dot(p.AsSpan(first), next.AsSpan(first));
            for (int i = first; i < n; i++)
            {
                v[i] = next[i];
                w[i] = (t * p[i]) - (half * next[i]);
            }
        }

        return blocks;
    }

    // row -= a w + b v
    private static void Update(Span<double> row, double a, double b, ReadOnlySpan<double> v, ReadOnlySpan<double> w)
    {
        ref double pr = ref MemoryMarshal.GetReference(row);
        ref double pv = ref MemoryMarshal.GetReference(v);
        ref double pw = ref MemoryMarshal.GetReference(w);
        Vector256<double> va = Vector256.Create(-a), vb = Vector256.Create(-b);
        int i = 0;
        for (; i + 4 <= row.Length; i += 4)
        {
            Vector256<double> x = Vector256.FusedMultiplyAdd(va, Vector256.LoadUnsafe(ref pw, (nuint)i), Vector256.LoadUnsafe(ref pr, (nuint)i));
            Vector256.FusedMultiplyAdd(vb, Vector256.LoadUnsafe(ref pv, (nuint)i), x).StoreUnsafe(ref pr, (nuint)i);
        }

        for (; i < row.Length; i++)
        {
            row[i] = Math.FusedMultiplyAdd(-b, v[i], Math.FusedMultiplyAdd(-a, w[i], row[i]));
        }
    }
}
