namespace Graft.Runtime.LinearAlgebra;

/// <summary>exp(A) of a square matrix, F64, by scaling, the [13/13] Padé approximant and squaring.</summary>
/// <remarks>Method: Higham 2005, "The scaling and squaring method for the matrix exponential revisited".</remarks>
public static class MatrixExponential
{
    private const double LargestNorm = 5.371920351148152; // the approximant is exact to 2^-53 up to here

    private static readonly double[] s_pade =
    [
        64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600, 670442572800,
        33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
    ];

    /// <summary>The exponential, (n, n) row-major.</summary>
    /// <exception cref="ShapeException">The number of entries is not size squared.</exception>
    /// <exception cref="LinearAlgebraException">An entry is not finite.</exception>
    public static double[] Of(ReadOnlySpan<double> a, int size)
    {
        double[] x = LinearAlgebraException.Checked("MatrixExponential", a, size, size);
        double norm = 0;
        for (int j = 0; j < size; j++)
        {
            double sum = 0;
            for (int i = 0; i < size; i++)
            {
                sum += Math.Abs(x[(i * size) + j]);
            }

            norm = Math.Max(norm, sum);
        }

        int squarings = norm <= LargestNorm ? 0 : Math.Max(0, Math.ILogB(norm / LargestNorm) + 1);
        Scaling.Restore(x, -squarings);
        double[] x2 = Product(x, x, size), x4 = Product(x2, x2, size), x6 = Product(x4, x2, size);
        double[] odd = Sum(size, 0, (s_pade[13], x6), (s_pade[11], x4), (s_pade[9], x2));
        double[] even = Sum(size, 0, (s_pade[12], x6), (s_pade[10], x4), (s_pade[8], x2));
        double[] u = Product(x, Sum(size, s_pade[1], (1, Product(x6, odd, size)), (s_pade[7], x6), (s_pade[5], x4), (s_pade[3], x2)), size);
        double[] v = Sum(size, s_pade[0], (1, Product(x6, even, size)), (s_pade[6], x6), (s_pade[4], x4), (s_pade[2], x2));
        double[] result = Lu.Decompose(Sum(size, 0, (1, v), (-1, u)), size).Solve(Sum(size, 0, (1, v), (1, u)), size);
        for (int i = 0; i < squarings; i++)
        {
            result = Product(result, result, size);
        }

        return result;
    }

    private static double[] Product(double[] a, double[] b, int n) => MatrixProduct.Multiply(a, b, n, n, n);

    private static double[] Sum(int n, double identity, params ReadOnlySpan<(double Factor, double[] Matrix)> terms)
    {
        double[] sum = new double[n * n];
        foreach ((double factor, double[] matrix) in terms)
        {
            Dense.Axpy(factor, matrix, sum);
        }

        for (int i = 0; i < n; i++)
        {
            sum[(i * n) + i] += identity;
        }

        return sum;
    }
}
