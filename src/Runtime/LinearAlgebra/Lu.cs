namespace Graft.Runtime.LinearAlgebra;

/// <summary>P A = L U of a square matrix with partial pivoting, F64: solutions, inverse and determinant.</summary>
/// <remarks>Method: Golub and Van Loan, "Matrix Computations", 4th edition, section 3.4.</remarks>
public sealed class Lu
{
    private readonly double[] _factors;
    private readonly double _sign;

    private Lu(int size, double[] factors, int[] rows, double sign)
    {
        Size = size;
        _factors = factors;
        Rows = rows;
        _sign = sign;
    }

    /// <summary>Rows and columns n.</summary>
    public int Size { get; }

    /// <summary>Row i of P A is row Rows[i] of A.</summary>
    public int[] Rows { get; }

    /// <summary>Factors a matrix; a singular one is factored too and refused by <see cref="Solve"/>.</summary>
    /// <exception cref="ShapeException">The number of entries is not size squared.</exception>
    /// <exception cref="LinearAlgebraException">An entry is not finite.</exception>
    public static Lu Decompose(ReadOnlySpan<float> a, int size) => Run(LinearAlgebraException.Checked("Lu", a, size, size), size);

    /// <inheritdoc cref="Decompose(ReadOnlySpan{float}, int)"/>
    public static Lu Decompose(ReadOnlySpan<double> a, int size) => Run(LinearAlgebraException.Checked("Lu", a, size, size), size);

    /// <summary>The unit lower triangular factor, (n, n) row-major: a new array each time.</summary>
    public double[] Lower() => Part((i, j) => i == j ? 1 : i > j ? _factors[(i * Size) + j] : 0);

    /// <summary>The upper triangular factor, (n, n) row-major: a new array each time.</summary>
    public double[] Upper() => Part((i, j) => i <= j ? _factors[(i * Size) + j] : 0);

    /// <summary>X of A X = B for B (n, columns), row-major.</summary>
    /// <exception cref="ShapeException">B does not have n · columns entries.</exception>
    /// <exception cref="LinearAlgebraException">The matrix is singular.</exception>
    public double[] Solve(ReadOnlySpan<double> b, int columns)
    {
        if ((long)Size * columns != b.Length)
        {
            throw new ShapeException($"Lu: {columns} right sides of {Size} entries were announced; {b.Length} entries were given.");
        }

        double[] turned = new double[b.Length];
        for (int i = 0; i < Size; i++)
        {
            b.Slice(Rows[i] * columns, columns).CopyTo(turned.AsSpan(i * columns));
        }

        return Triangular.Solve(Upper(), Size, Triangular.Solve(Lower(), Size, turned, columns, lower: true), columns, lower: false);
    }

    /// <summary>The inverse, (n, n) row-major.</summary>
    /// <exception cref="LinearAlgebraException">The matrix is singular.</exception>
    public double[] Inverse() => Solve(Dense.Identity(Size), Size);

    /// <summary>Sign and logarithm of the determinant's magnitude: (0, -∞) for a singular matrix.</summary>
    public (double Sign, double LogMagnitude) Determinant()
    {
        double sign = _sign;
        double log = 0;
        for (int i = 0; i < Size; i++)
        {
            double pivot = _factors[(i * Size) + i];
            sign *= Math.Sign(pivot);
            log += Math.Log(Math.Abs(pivot));
        }

        return (sign, log);
    }

    private static Lu Run(double[] a, int n)
    {
        int[] rows = [.. Enumerable.Range(0, n)];
        double sign = 1;
        for (int k = 0; k < n; k++)
        {
            int pivot = k;
            for (int i = k + 1; i < n; i++)
            {
                if (Math.Abs(a[(i * n) + k]) > Math.Abs(a[(pivot * n) + k]))
                {
                    pivot = i;
                }
            }

            if (a[(pivot * n) + k] == 0)
            {
                continue;
            }

            if (pivot != k)
            {
                (rows[k], rows[pivot]) = (rows[pivot], rows[k]);
                sign = -sign;
                for (int j = 0; j < n; j++)
                {
                    (a[(k * n) + j], a[(pivot * n) + j]) = (a[(pivot * n) + j], a[(k * n) + j]);
                }
            }

            Dense.For(n - k - 1, 2.0 * (n - k) * (n - k), step =>
            {
                int i = k + 1 + step;
                double factor = a[(i * n) + k] /= a[(k * n) + k];
                Dense.Axpy(-factor, a.AsSpan((k * n) + k + 1, n - k - 1), a.AsSpan((i * n) + k + 1, n - k - 1));
            });
        }

        return new Lu(n, a, rows, sign);
    }

    private double[] Part(Func<int, int, double> entry)
    {
        double[] part = new double[Size * Size];
        for (int i = 0; i < part.Length; i++)
        {
            part[i] = entry(i / Size, i % Size);
        }

        return part;
    }
}
