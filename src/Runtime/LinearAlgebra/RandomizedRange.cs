namespace Graft.Runtime.LinearAlgebra;

/// <summary>
/// An orthonormal basis that holds most of a large matrix's range, and the leading singular triples from it: cost m n per basis vector instead of m n
/// min(m, n).
/// </summary>
/// <remarks>
/// Q = orth(A Ω) with seeded normal Ω, then <c>iterations</c> times Q = orth(A orth(Aᵀ Q)); orthonormalised after every product, so small directions survive.
/// Method: Halko, Martinsson and Tropp 2011, arXiv:0909.4061, algorithms 4.4 and 5.1. Thread-count independent.
/// </remarks>
public static class RandomizedRange
{
    /// <summary>The basis, (rows, size) row-major.</summary>
    /// <param name="a">The matrix, row-major.</param>
    /// <param name="rows">Its rows m.</param>
    /// <param name="columns">Its columns n.</param>
    /// <param name="size">Basis vectors wanted: the rank sought plus some oversampling; at most min(m, n).</param>
    /// <param name="iterations">Power iterations; 0 trusts the decay of the singular values.</param>
    /// <param name="rng">The stream of Ω.</param>
    /// <exception cref="ShapeException">The number of entries is not rows times columns, or size is above min(m, n).</exception>
    /// <exception cref="LinearAlgebraException">An entry is not finite.</exception>
    public static double[] Find(ReadOnlySpan<float> a, int rows, int columns, int size, int iterations, Rng rng) =>
        Range(LinearAlgebraException.Checked("RandomizedRange", a, rows, columns), rows, columns, size, iterations, rng);

    /// <summary>The leading <paramref name="rank"/> singular triples, found in a basis of rank + <paramref name="oversample"/> vectors.</summary>
    /// <param name="a">The matrix, row-major.</param>
    /// <param name="rows">Its rows m.</param>
    /// <param name="columns">Its columns n.</param>
    /// <param name="rank">Triples wanted, at most min(m, n).</param>
    /// <param name="oversample">Further basis vectors, dropped at the end; ten are usual.</param>
    /// <param name="iterations">Power iterations.</param>
    /// <param name="rng">The stream of Ω.</param>
    /// <exception cref="ShapeException">The number of entries is not rows times columns, or rank is above min(m, n).</exception>
    /// <exception cref="LinearAlgebraException">An entry is not finite.</exception>
    public static Svd Svd(ReadOnlySpan<float> a, int rows, int columns, int rank, int oversample, int iterations, Rng rng)
    {
        double[] matrix = LinearAlgebraException.Checked("RandomizedSvd", a, rows, columns);
        int least = Math.Min(rows, columns);
        CheckSize(rank, least, "rank");
        int size = Math.Min(least, rank + Math.Max(0, oversample));
        double[] basis = Range(matrix, rows, columns, size, iterations, rng);
        double[] small = MatrixProduct.Multiply(basis, matrix, size, columns, rows, transposeA: true);
        return LinearAlgebra.Svd.Decompose(small, size, columns).Lift(basis, rows).Truncate(rank);
    }

    private static double[] Range(double[] a, int rows, int columns, int size, int iterations, Rng rng)
    {
        CheckSize(size, Math.Min(rows, columns), "size");
        ArgumentOutOfRangeException.ThrowIfNegative(iterations);
        float[] normal = new float[columns * size];
        rng.FillNormal(0, normal);
        double[] basis = Qr.Basis(MatrixProduct.Multiply(a, Array.ConvertAll(normal, x => (double)x), rows, size, columns), rows, size);
        for (int i = 0; i < iterations; i++)
        {
            double[] back = Qr.Basis(MatrixProduct.Multiply(a, basis, columns, size, rows, transposeA: true), columns, size);
            basis = Qr.Basis(MatrixProduct.Multiply(a, back, rows, size, columns), rows, size);
        }

        return basis;
    }

    private static void CheckSize(int size, int least, string name)
    {
        if (size < 1 || size > least)
        {
            throw new ShapeException($"RandomizedRange: {name} is {size}; it must be from 1 to the smaller side of the matrix, {least}.");
        }
    }
}
