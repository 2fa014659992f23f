namespace Graft.Runtime.LinearAlgebra;

/// <summary>A = L Lᵀ of a symmetric positive definite matrix, F64; reads the lower triangle.</summary>
public sealed class Cholesky
{
    private Cholesky(int size, double[] l)
    {
        Size = size;
        L = l;
    }

    /// <summary>Rows and columns n.</summary>
    public int Size { get; }

    /// <summary>The lower triangular factor, (n, n) row-major, zeros above its diagonal.</summary>
    public double[] L { get; }

    /// <summary>Factors a matrix.</summary>
    /// <exception cref="ShapeException">The number of entries is not size squared.</exception>
    /// <exception cref="LinearAlgebraException">An entry is not finite, or the matrix is not positive definite: names the first bad pivot.</exception>
    public static Cholesky Decompose(ReadOnlySpan<float> a, int size) => Run(LinearAlgebraException.Checked("Cholesky", a, size, size), size);

    /// <inheritdoc cref="Decompose(ReadOnlySpan{float}, int)"/>
    public static Cholesky Decompose(ReadOnlySpan<double> a, int size) => Run(LinearAlgebraException.Checked("Cholesky", a, size, size), size);

    /// <summary>X of A X = B for B (n, columns), row-major.</summary>
    public double[] Solve(ReadOnlySpan<double> b, int columns)
    {
        double[] x = Triangular.Solve(L, Size, b, columns, lower: true);
        return Triangular.Solve(Dense.Transpose(L, Size, Size), Size, x, columns, lower: false);
    }

    private static Cholesky Run(double[] a, int n)
    {
        for (int i = 0; i < n; i++)
        {
            Span<double> row = a.AsSpan(i * n, n);
            for (int j = 0; j < i; j++)
            {
                ReadOnlySpan<double> other = a.AsSpan(j * n, n);
                row[j] = (row[j] - Dense.Dot(row[..j], other[..j])) / other[j];
            }

            double pivot = row[i] - Dense.Dot(row[..i], row[..i]);
            if (!(pivot > 0) || !double.IsFinite(pivot))
            {
                LinearAlgebraException.Throw($"Cholesky: pivot {i} of {n} is {pivot}; the matrix is not positive definite. Add a multiple of the identity.");
            }

            row[i] = Math.Sqrt(pivot);
            row[(i + 1)..].Clear();
        }

        return new Cholesky(n, a);
    }
}

/// <summary>Systems with a triangular matrix.</summary>
public static class Triangular
{
    /// <summary>X of T X = B for triangular T (n, n) and B (n, columns), row-major; the other triangle is not read.</summary>
    /// <exception cref="ShapeException">The numbers of entries do not fit the sizes.</exception>
    /// <exception cref="LinearAlgebraException">An entry of the diagonal is zero.</exception>
    public static double[] Solve(ReadOnlySpan<double> t, int size, ReadOnlySpan<double> b, int columns, bool lower)
    {
        if ((long)size * size != t.Length || (long)size * columns != b.Length)
        {
            throw new ShapeException(
                $"Triangular: a system of size {size} with {columns} right sides was announced; {t.Length} and {b.Length} entries were given.");
        }

        double[] x = b.ToArray();
        for (int step = 0; step < size; step++)
        {
            int i = lower ? step : size - 1 - step;
            Span<double> row = x.AsSpan(i * columns, columns);
            for (int k = lower ? 0 : i + 1; k < (lower ? i : size); k++)
            {
                Dense.Axpy(-t[(i * size) + k], x.AsSpan(k * columns, columns), row);
            }

            double diagonal = t[(i * size) + i];
            if (diagonal == 0)
            {
                LinearAlgebraException.Throw($"Triangular: entry {i} of the diagonal is zero; the system has no unique solution.");
            }

            for (int c = 0; c < columns; c++)
            {
                row[c] /= diagonal;
            }
        }

        return x;
    }
}
