namespace Graft.Runtime.LinearAlgebra;

/// <summary>
/// A = Q R with orthonormal columns of Q (m, k), upper triangular R (k, n), k = min(m, n), and a diagonal of R that is not negative, which makes it
/// unique at full rank.
/// </summary>
/// <remarks>
/// Householder reflections in blocks of 32, F64. Method: Golub and Van Loan, "Matrix Computations", 4th edition, section 5.2. Thread-count independent.
/// </remarks>
public sealed class Qr
{
    private Qr(int rows, int columns, double[] q, double[] r)
    {
        Rows = rows;
        Columns = columns;
        Q = q;
        R = r;
    }

    /// <summary>Rows m of the matrix.</summary>
    public int Rows { get; }

    /// <summary>Columns n of the matrix.</summary>
    public int Columns { get; }

    /// <summary>The smaller of the two.</summary>
    public int Rank => Math.Min(Rows, Columns);

    /// <summary>The orthonormal columns, (m, k) row-major.</summary>
    public double[] Q { get; }

    /// <summary>The triangular factor, (k, n) row-major, zeros below its diagonal.</summary>
    public double[] R { get; }

    /// <summary>The thin factors of a row-major matrix.</summary>
    /// <exception cref="ShapeException">The number of entries is not rows times columns.</exception>
    /// <exception cref="LinearAlgebraException">An entry is not finite.</exception>
    public static Qr Thin(ReadOnlySpan<float> a, int rows, int columns) => Decompose(LinearAlgebraException.Checked("Qr", a, rows, columns), rows, columns);

    /// <inheritdoc cref="Thin(ReadOnlySpan{float}, int, int)"/>
    public static Qr Thin(ReadOnlySpan<double> a, int rows, int columns) => Decompose(LinearAlgebraException.Checked("Qr", a, rows, columns), rows, columns);

    /// <summary>Q alone: an orthonormal basis of a space that contains the columns, (m, k).</summary>
    internal static double[] Basis(double[] a, int rows, int columns) => Decompose(a, rows, columns).Q;

    /// <summary>Overwrites a (m, n) by R above garbage-free zeros and returns the reflections of Q, without the sign convention.</summary>
    internal static List<BlockReflector> Reflect(double[] a, int rows, int columns)
    {
        int rank = Math.Min(rows, columns);
        List<BlockReflector> blocks = [];
        for (int start = 0; start < rank; start += BlockReflector.Size)
        {
            int block = Math.Min(BlockReflector.Size, rank - start);
            int height = rows - start;
            double[] panel = new double[block * height]; // columns of the panel, contiguous; becomes Vᵀ
            double[] tau = new double[block];
            for (int r = 0; r < height; r++)
            {
                for (int j = 0; j < block; j++)
                {
                    panel[(j * height) + r] = a[((start + r) * columns) + start + j];
                }
            }

            for (int j = 0; j < block; j++)
            {
                Span<double> v = panel.AsSpan((j * height) + j, height - j);
                double beta = BlockReflector.Make(v, out tau[j]);
                for (int i = j + 1; i < block; i++)
                {
                    Span<double> x = panel.AsSpan((i * height) + j, height - j);
                    Dense.Axpy(-tau[j] * Dense.Dot(v, x), v, x);
                }

                for (int r = 0; r < height; r++)
                {
                    a[((start + r) * columns) + start + j] = r < j ? panel[(j * height) + r] : 0;
                }

                a[((start + j) * columns) + start + j] = beta;
                panel.AsSpan(j * height, j).Clear();
            }

            BlockReflector reflector = new(start, height, panel, tau);
            reflector.Apply(a, columns, start + block, transpose: true);
            blocks.Add(reflector);
        }

        return blocks;
    }

    /// <summary>Q X for X (k, width) padded with zeros to (m, width), in place.</summary>
    internal static void ApplyQ(List<BlockReflector> blocks, double[] x, int width, bool triangular)
    {
        for (int i = blocks.Count - 1; i >= 0; i--)
        {
            // Of the identity, columns before the block are still unit vectors that it does not touch.
            blocks[i].Apply(x, width, triangular ? i * BlockReflector.Size : 0, transpose: false);
        }
    }

    private static Qr Decompose(double[] a, int rows, int columns)
    {
        int rank = Math.Min(rows, columns);
        int exponent = Scaling.Normalise(a);
        List<BlockReflector> blocks = Reflect(a, rows, columns);
        double[] r = a[..(rank * columns)];
        Scaling.Restore(r, exponent);
        double[] q = new double[rows * rank];
        for (int i = 0; i < rank; i++)
        {
            q[(i * rank) + i] = 1;
        }

        ApplyQ(blocks, q, rank, triangular: true);
        for (int j = 0; j < rank; j++)
        {
            if (r[(j * columns) + j] < 0)
            {
                for (int c = j; c < columns; c++)
                {
                    r[(j * columns) + c] = -r[(j * columns) + c];
                }

                for (int i = 0; i < rows; i++)
                {
                    q[(i * rank) + j] = -q[(i * rank) + j];
                }
            }
        }

        return new Qr(rows, columns, q, r);
    }
}
