using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Graft.Runtime.LinearAlgebra;

/// <summary>
/// Products of F64 matrices for the decompositions: packed panels, 4 x 12 register tile, the same bits on any thread count and instruction set.
/// </summary>
/// <remarks>Every entry is one chain of fused multiply-adds per 256 inner terms; the chains are added in order.</remarks>
public static unsafe class MatrixProduct
{
    private const int TileRows = 4;
    private const int TileColumns = 12;
    private const int Depth = 256; // 24 KiB of B per panel: half of a first-level cache
    private const int RowChunk = 64;

    /// <summary>C = op(A) op(B), row-major; op transposes the stored matrix if asked: op(A) is (rows, inner), op(B) is (inner, columns).</summary>
    /// <exception cref="ShapeException">An operand does not have the announced number of entries.</exception>
    public static double[] Multiply(
        ReadOnlySpan<double> a, ReadOnlySpan<double> b, int rows, int columns, int inner, bool transposeA = false, bool transposeB = false)
    {
        double[] c = new double[checked(rows * columns)];
        Accumulate(a, b, c, rows, columns, inner, transposeA, transposeB);
        return c;
    }

    /// <summary>C += op(A) op(B); see <see cref="Multiply"/>.</summary>
    internal static void Accumulate(
        ReadOnlySpan<double> a, ReadOnlySpan<double> b, Span<double> c, int rows, int columns, int inner, bool transposeA = false, bool transposeB = false)
    {
        if ((long)rows * inner != a.Length || (long)inner * columns != b.Length || (long)rows * columns != c.Length)
        {
            throw new ShapeException($"MatrixProduct: ({rows}, {inner}) by ({inner}, {columns}) was announced; {a.Length} and {b.Length} entries were given.");
        }

        if (c.IsEmpty || inner == 0)
        {
            return;
        }

        int panels = (columns + TileColumns - 1) / TileColumns;
        nuint bytes = (nuint)panels * Depth * TileColumns * sizeof(double);
        double* packed = (double*)NativeMemory.AlignedAlloc(bytes, 64);
        try
        {
            fixed (double* pa = a, pb = b, pc = c)
            {
                for (int k0 = 0; k0 < inner; k0 += Depth)
                {
                    int depth = Math.Min(Depth, inner - k0);
                    PackColumns(pb, packed, columns, inner, k0, depth, transposeB);
                    Job job = new(pa, packed, pc, rows, columns, inner, k0, depth, transposeA);
                    Dense.For((rows + RowChunk - 1) / RowChunk, 2.0 * rows * columns * depth, job.Run);
                }
            }
        }
        finally
        {
            NativeMemory.AlignedFree(packed);
        }
    }

    private static void PackColumns(double* b, double* packed, int columns, int inner, int k0, int depth, bool transposed)
    {
        long stepK = transposed ? 1 : columns;
        long stepColumn = transposed ? inner : 1;
        for (int j0 = 0; j0 < columns; j0 += TileColumns, packed += (long)depth * TileColumns)
        {
            for (int k = 0; k < depth; k++)
            {
                double* source = b + ((k0 + k) * stepK) + (j0 * stepColumn);
                for (int j = 0; j < TileColumns; j++)
                {
                    packed[(k * TileColumns) + j] = j0 + j < columns ? source[j * stepColumn] : 0;
                }
            }
        }
    }

    // Twelve accumulators, three vectors of B, one broadcast of A: all sixteen registers. Makes no call, so that none is spilled.
    private static void Tile(double* a, double* b, int depth, double* c, long stride)
    {
        Vector256<double> c00 = default, c01 = default, c02 = default, c10 = default, c11 = default, c12 = default;
        Vector256<double> c20 = default, c21 = default, c22 = default, c30 = default, c31 = default, c32 = default;
        for (int k = 0; k < depth; k++)
        {
            Vector256<double> b0 = Vector256.Load(b), b1 = Vector256.Load(b + 4), b2 = Vector256.Load(b + 8);
            Vector256<double> x = Vector256.Create(a[0]);
            c00 = Vector256.FusedMultiplyAdd(x, b0, c00);
            c01 = Vector256.FusedMultiplyAdd(x, b1, c01);
            c02 = Vector256.FusedMultiplyAdd(x, b2, c02);
            x = Vector256.Create(a[1]);
            c10 = Vector256.FusedMultiplyAdd(x, b0, c10);
            c11 = Vector256.FusedMultiplyAdd(x, b1, c11);
            c12 = Vector256.FusedMultiplyAdd(x, b2, c12);
            x = Vector256.Create(a[2]);
            c20 = Vector256.FusedMultiplyAdd(x, b0, c20);
            c21 = Vector256.FusedMultiplyAdd(x, b1, c21);
            c22 = Vector256.FusedMultiplyAdd(x, b2, c22);
            x = Vector256.Create(a[3]);
            c30 = Vector256.FusedMultiplyAdd(x, b0, c30);
            c31 = Vector256.FusedMultiplyAdd(x, b1, c31);
            c32 = Vector256.FusedMultiplyAdd(x, b2, c32);
            a += TileRows;
            b += TileColumns;
        }

        (Vector256.Load(c) + c00).Store(c);
        (Vector256.Load(c + 4) + c01).Store(c + 4);
        (Vector256.Load(c + 8) + c02).Store(c + 8);
        c += stride;
        (Vector256.Load(c) + c10).Store(c);
        (Vector256.Load(c + 4) + c11).Store(c + 4);
        (Vector256.Load(c + 8) + c12).Store(c + 8);
        c += stride;
        (Vector256.Load(c) + c20).Store(c);
        (Vector256.Load(c + 4) + c21).Store(c + 4);
        (Vector256.Load(c + 8) + c22).Store(c + 8);
        c += stride;
        (Vector256.Load(c) + c30).Store(c);
        (Vector256.Load(c + 4) + c31).Store(c + 4);
        (Vector256.Load(c + 8) + c32).Store(c + 8);
    }

    private sealed class Job(double* a, double* packedB, double* c, int rows, int columns, int inner, int k0, int depth, bool transposed)
    {
        public void Run(int chunk)
        {
            int first = chunk * RowChunk;
            int count = Math.Min(RowChunk, rows - first);
            double[] memory = GC.AllocateUninitializedArray<double>(RowChunk * Depth);
            fixed (double* packedA = memory)
            {
                PackRows(packedA, first, count);
                double* edge = stackalloc double[TileRows * TileColumns];
                for (int j0 = 0; j0 < columns; j0 += TileColumns)
                {
                    double* panel = packedB + ((long)j0 * depth);
                    for (int i0 = 0; i0 < count; i0 += TileRows)
                    {
                        double* target = c + ((long)(first + i0) * columns) + j0;
                        double* source = packedA + ((long)i0 * depth);
                        int tileRows = Math.Min(TileRows, count - i0);
                        int tileColumns = Math.Min(TileColumns, columns - j0);
                        if (tileRows == TileRows && tileColumns == TileColumns)
                        {
                            Tile(source, panel, depth, target, columns);
                            continue;
                        }

                        new Span<double>(edge, TileRows * TileColumns).Clear();
                        Tile(source, panel, depth, edge, TileColumns);
                        for (int i = 0; i < tileRows; i++)
                        {
                            for (int j = 0; j < tileColumns; j++)
                            {
                                target[((long)i * columns) + j] += edge[(i * TileColumns) + j];
                            }
                        }
                    }
                }
            }
        }

        private void PackRows(double* packed, int first, int count)
        {
            long stepRow = transposed ? 1 : inner;
            long stepK = transposed ? rows : 1;
            for (int i0 = 0; i0 < count; i0 += TileRows, packed += (long)depth * TileRows)
            {
                for (int k = 0; k < depth; k++)
                {
                    double* source = a + ((k0 + k) * stepK) + ((first + i0) * stepRow);
                    for (int i = 0; i < TileRows; i++)
                    {
                        packed[(k * TileRows) + i] = i0 + i < count ? source[i * stepRow] : 0;
                    }
                }
            }
        }
    }
}
