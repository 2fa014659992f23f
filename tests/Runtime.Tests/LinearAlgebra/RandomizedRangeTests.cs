using Graft.Runtime.LinearAlgebra;
using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.LinearAlgebra;

public class RandomizedRangeTests
{
    [TestCase(60, 90)]
    [TestCase(90, 60)]
    [TestCase(5, 5)]
    public void Leading_triples_of_a_decaying_matrix_agree_with_the_full_decomposition(int m, int n)
    {
        float[] a = Decaying(m, n);
        int rank = Math.Min(5, Math.Min(m, n));
        Svd full = Svd.Thin(a, m, n).Truncate(rank);
        Svd found = RandomizedRange.Svd(a, m, n, rank, oversample: 10, iterations: 4, new Rng(3));
        Worst.Within(found.S, full.S, 0, 1e-9, "S");
        Worst.Within(found.U, full.U, 1e-7, 0, "U", new Shape(m, rank));
        Worst.Within(found.Vt, full.Vt, 1e-7, 0, "Vᵀ", new Shape(rank, n));
    }

    [Test]
    public void A_basis_as_large_as_the_rank_reproduces_a_matrix_of_low_rank()
    {
        float[] x = new float[50 * 4], y = new float[4 * 70];
        new Rng(1).FillNormal(0, x);
        new Rng(2).FillNormal(0, y);
        double[] exact = MatrixProduct.Multiply(Array.ConvertAll(x, v => (double)v), Array.ConvertAll(y, v => (double)v), 50, 70, 4);
        float[] a = Array.ConvertAll(exact, v => (float)v);
        double[] q = RandomizedRange.Find(a, 50, 70, 4, 1, new Rng(3));
        double[] projected = MatrixProduct.Multiply(q, MatrixProduct.Multiply(q, exact, 4, 70, 50, transposeA: true), 50, 70, 4);
        Worst.Within(projected, exact, 1e-5, 0, "Q Qᵀ A", new Shape(50, 70)); // A itself is rounded to F32
        Worst.Within(MatrixProduct.Multiply(q, q, 4, 4, 50, transposeA: true), [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], 1e-14, 0, "QᵀQ");
    }

    [Test]
    public void The_seed_decides_the_bits()
    {
        float[] a = Decaying(40, 30);
        double[] first = RandomizedRange.Find(a, 40, 30, 6, 1, new Rng(3));
        Assert.That(RandomizedRange.Find(a, 40, 30, 6, 1, new Rng(3)), Is.EqualTo(first));
        Assert.That(RandomizedRange.Find(a, 40, 30, 6, 1, new Rng(4)), Is.Not.EqualTo(first));
    }

    private static float[] Decaying(int m, int n)
    {
        float[] x = new float[m * n];
        new Rng(9).FillNormal(0, x);
        Svd svd = Svd.Thin(x, m, n);
        double[] scaled = new double[svd.Vt.Length];
        for (int i = 0; i < scaled.Length; i++)
        {
            scaled[i] = svd.Vt[i] * Math.Pow(0.5, i / n);
        }

        return Array.ConvertAll(MatrixProduct.Multiply(svd.U, scaled, m, n, svd.Count), v => (float)v);
    }
}
