namespace Graft.Runtime.LinearAlgebra;

/// <summary>
/// A = V diag(values) Vᵀ of a symmetric matrix: values ascending, orthonormal vectors whose entry of largest magnitude (the first of equal ones) is
/// positive.
/// </summary>
/// <remarks>
/// Householder tridiagonalisation and implicit QL, F64. Method: Golub and Van Loan, "Matrix Computations", 4th edition, section 8.3. Thread-count
/// independent.
/// </remarks>
public sealed class SymmetricEigen
{
    private SymmetricEigen(int size, double[] values, double[] vectorsTransposed)
    {
        Size = size;
        Values = values;
        VectorsTransposed = vectorsTransposed;
    }

    /// <summary>Rows and columns n of the matrix.</summary>
    public int Size { get; }

    /// <summary>The eigenvalues, ascending, (n).</summary>
    public double[] Values { get; }

    /// <summary>The eigenvectors as rows, in the order of the values, (n, n) row-major.</summary>
    public double[] VectorsTransposed { get; }

    /// <summary>The eigenvectors as columns, (n, n) row-major: a new array each time.</summary>
    public double[] Vectors() => Dense.Transpose(VectorsTransposed, Size, Size);

    /// <summary>Decomposes a symmetric matrix; its two triangles are averaged, so a slightly unsymmetric one is taken as its symmetric part.</summary>
    /// <exception cref="ShapeException">The number of entries is not size squared.</exception>
    /// <exception cref="LinearAlgebraException">An entry is not finite.</exception>
    public static SymmetricEigen Decompose(ReadOnlySpan<float> a, int size) => Run(LinearAlgebraException.Checked("SymmetricEigen", a, size, size), size);

    /// <inheritdoc cref="Decompose(ReadOnlySpan{float}, int)"/>
    public static SymmetricEigen Decompose(ReadOnlySpan<double> a, int size) => Run(LinearAlgebraException.Checked("SymmetricEigen", a, size, size), size);

    internal static SymmetricEigen Run(double[] a, int n)
    {
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < i; j++)
            {
                a[(i * n) + j] = a[(j * n) + i] = (0.5 * a[(i * n) + j]) + (0.5 * a[(j * n) + i]);
            }
        }

        int exponent = Scaling.Normalise(a);
        double[] d = new double[n];
        double[] e = new double[n];
        List<BlockReflector> blocks = Tridiagonal.Reduce(a, n, d, e);
        double[] q = Dense.Identity(n);
        for (int i = blocks.Count - 1; i >= 0; i--)
        {
            blocks[i].Apply(q, n, (i * BlockReflector.Size) + 1, transpose: false);
        }

        double[] rows = Dense.Transpose(q, n, n);
        new ImplicitQl(d, e, rows, n).Run();
        int[] order = [.. Enumerable.Range(0, n).OrderBy(i => d[i]).ThenBy(i => i)];
        double[] values = new double[n];
        double[] sorted = new double[n * n];
        for (int i = 0; i < n; i++)
        {
            values[i] = d[order[i]];
            Span<double> vector = sorted.AsSpan(i * n, n);
            rows.AsSpan(order[i] * n, n).CopyTo(vector);
            if (Scaling.IsTurned(vector))
            {
                Scaling.Negate(vector);
            }
        }

        Scaling.Restore(values, exponent);
        return new SymmetricEigen(n, values, sorted);
    }
}
