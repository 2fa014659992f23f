namespace Graft.Runtime.LinearAlgebra;

/// <summary>A = U diag(S) Vᵀ with k = min(m, n): orthonormal columns of U (m, k), singular values descending, orthonormal rows of Vᵀ (k, n).</summary>
/// <remarks>
/// QR, eigenvectors of RᵀR as a first guess of V, then one-sided Jacobi on R V, all in F64; a wide matrix is transposed first. Thread-count independent.
/// Signs: in every column of U the entry of largest magnitude, the first of equal ones, is positive. Vectors of equal singular values are any basis of
/// their space.
/// Method: Demmel and Veselić 1992; Drmač and Veselić 2008 for the preconditioning by QR.
/// </remarks>
public sealed class Svd
{
    private const int SmallSize = 64; // below this Jacobi alone takes milliseconds

    private Svd(int rows, int columns, double[] u, double[] s, double[] vt)
    {
        Rows = rows;
        Columns = columns;
        U = u;
        S = s;
        Vt = vt;
    }

    /// <summary>Rows m of the matrix.</summary>
    public int Rows { get; }

    /// <summary>Columns n of the matrix.</summary>
    public int Columns { get; }

    /// <summary>The number k of singular values held: min(m, n), or fewer after <see cref="Truncate"/>.</summary>
    public int Count => S.Length;

    /// <summary>The left vectors as columns, (m, k) row-major.</summary>
    public double[] U { get; }

    /// <summary>The singular values, descending, (k).</summary>
    public double[] S { get; }

    /// <summary>The right vectors as rows, (k, n) row-major.</summary>
    public double[] Vt { get; }

    /// <summary>The thin decomposition of a row-major matrix.</summary>
    /// <exception cref="ShapeException">The number of entries is not rows times columns.</exception>
    /// <exception cref="LinearAlgebraException">An entry is not finite.</exception>
    public static Svd Thin(ReadOnlySpan<float> a, int rows, int columns) => Decompose(LinearAlgebraException.Checked("Svd", a, rows, columns), rows, columns);

    /// <inheritdoc cref="Thin(ReadOnlySpan{float}, int, int)"/>
    public static Svd Thin(ReadOnlySpan<double> a, int rows, int columns) => Decompose(LinearAlgebraException.Checked("Svd", a, rows, columns), rows, columns);

    /// <summary>The leading <paramref name="count"/> values and vectors: the best approximation of that rank.</summary>
    public Svd Truncate(int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Count);
        double[] u = new double[Rows * count];
        for (int r = 0; r < Rows; r++)
        {
            U.AsSpan(r * Count, count).CopyTo(u.AsSpan(r * count));
        }

        return new Svd(Rows, Columns, u, S[..count], Vt[..(count * Columns)]);
    }

    /// <summary>The Moore-Penrose inverse, (n, m) row-major; values up to max(m, n) · 2^-52 · the largest one count as zero.</summary>
    public double[] PseudoInverse()
    {
        double cut = Math.Max(Rows, Columns) * 2.220446049250313e-16 * S[0];
        double[] scaled = new double[Count * Columns];
        for (int i = 0; i < Count; i++)
        {
            if (S[i] > cut)
            {
                Dense.Axpy(1 / S[i], Vt.AsSpan(i * Columns, Columns), scaled.AsSpan(i * Columns, Columns));
            }
        }

        return MatrixProduct.Multiply(scaled, U, Columns, Rows, Count, transposeA: true, transposeB: true);
    }

    /// <summary>U B of a decomposition of B = Qᵀ A: back to the space of A, signs set anew.</summary>
    internal Svd Lift(double[] basis, int rows)
    {
        double[] u = MatrixProduct.Multiply(basis, U, rows, Count, Rows);
        double[] vt = (double[])Vt.Clone();
        SetSigns(Dense.Transpose(u, rows, Count), vt, u, rows, Count, Columns);
        return new Svd(rows, Columns, u, (double[])S.Clone(), vt);
    }

    internal static Svd Decompose(double[] a, int rows, int columns)
    {
        if (rows < columns)
        {
            Svd turned = DecomposeTall(Dense.Transpose(a, rows, columns), columns, rows);
            double[] u = Dense.Transpose(turned.Vt, rows, rows);
            double[] vt = Dense.Transpose(turned.U, columns, rows);
            SetSigns((double[])turned.Vt.Clone(), vt, u, rows, rows, columns);
            return new Svd(rows, columns, u, turned.S, vt);
        }

        return DecomposeTall(a, rows, columns);
    }

    private static Svd DecomposeTall(double[] a, int rows, int n)
    {
        int exponent = Scaling.Normalise(a);
        List<BlockReflector>? blocks = null;
        int height = rows;
        double[] r = a;
        if (rows > n)
        {
            blocks = Qr.Reflect(a, rows, n);
            r = a[..(n * n)];
            height = n;
        }

        // Rows of w are columns of R V, rows of v columns of V.
        double[] v;
        double[] w;
        if (n <= SmallSize)
        {
            v = Dense.Identity(n);
            w = Dense.Transpose(r, height, n);
        }
        else
        {
            v = SymmetricEigen.Run(MatrixProduct.Multiply(r, r, n, n, height, transposeA: true), n).VectorsTransposed;
            w = MatrixProduct.Multiply(v, r, n, height, n, transposeB: true);
        }

        OneSidedJacobi.Run(w, v, n, height);
        (double[] s, double[] ut, double[] vt) = Sorted(w, v, n, height);
        Scaling.Restore(s, exponent);

        double[] u = new double[rows * n];
        Dense.Transpose(ut, n, height).CopyTo(u.AsSpan());
        if (blocks is not null)
        {
            Qr.ApplyQ(blocks, u, n, triangular: false);
        }

        SetSigns(Dense.Transpose(u, rows, n), vt, u, rows, n, n);
        return new Svd(rows, n, u, s, vt);
    }

    // Norms of the rows are the values. Rows that hold nothing but rounding get vectors that complete the basis.
    private static (double[] S, double[] Ut, double[] Vt) Sorted(double[] w, double[] v, int n, int height)
    {
        double[] norms = new double[n];
        for (int i = 0; i < n; i++)
        {
            norms[i] = Math.Sqrt(Dense.Dot(w.AsSpan(i * height, height), w.AsSpan(i * height, height)));
        }

        int[] order = [.. Enumerable.Range(0, n).OrderByDescending(i => norms[i]).ThenBy(i => i)];
        double[] s = new double[n], ut = new double[n * height], vt = new double[n * n];
        double cut = norms[order[0]] * Math.Max(n, height) * 1.1e-16;
        int candidate = 0;
        for (int i = 0; i < n; i++)
        {
            int from = order[i];
            s[i] = norms[from];
            v.AsSpan(from * n, n).CopyTo(vt.AsSpan(i * n));
            Span<double> u = ut.AsSpan(i * height, height);
            if (s[i] > cut)
            {
                Dense.Axpy(1 / s[i], w.AsSpan(from * height, height), u);
                continue;
            }

            Complete(ut, u, i, height, ref candidate);
        }

        return (s, ut, vt);
    }

    // The next unit vector, made orthogonal to the first rows twice; one that lies nearly in their space is passed over.
    private static void Complete(double[] ut, Span<double> u, int count, int height, ref int candidate)
    {
        while (true)
        {
            u.Clear();
            u[candidate++] = 1;
            for (int pass = 0; pass < 2; pass++)
            {
                for (int j = 0; j < count; j++)
                {
                    ReadOnlySpan<double> other = ut.AsSpan(j * height, height);
                    Dense.Axpy(-Dense.Dot(other, u), other, u);
                }

                double norm = Math.Sqrt(Dense.Dot(u, u));
                if (norm < 0.5 / Math.Sqrt(height))
                {
                    break;
                }

                for (int j = 0; j < height; j++)
                {
                    u[j] /= norm;
                }

                if (pass == 1)
                {
                    return;
                }
            }
        }
    }

    private static void SetSigns(double[] ut, double[] vt, double[] u, int rows, int count, int columns)
    {
        for (int i = 0; i < count; i++)
        {
            if (!Scaling.IsTurned(ut.AsSpan(i * rows, rows)))
            {
                continue;
            }

            Scaling.Negate(vt.AsSpan(i * columns, columns));
            for (int r = 0; r < rows; r++)
            {
                u[(r * count) + i] = -u[(r * count) + i];
            }
        }
    }
}
