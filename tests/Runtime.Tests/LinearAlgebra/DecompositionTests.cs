using Graft.Runtime.LinearAlgebra;
using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.LinearAlgebra;

public class DecompositionTests
{
    private const double Tight = 1e-13; // absolute, for matrices of norm near one and sizes up to some hundred

    private static readonly (int Rows, int Columns)[] s_sizes =
        [(1, 1), (1, 7), (7, 1), (2, 2), (8, 8), (9, 31), (33, 32), (64, 65), (65, 64), (127, 40), (40, 127), (150, 150), (200, 97)];

    private static IEnumerable<TestCaseData> Matrices()
    {
        foreach ((int rows, int columns) in s_sizes)
        {
            yield return Case("normal", rows, columns, Normal(rows, columns));
            yield return Case("zero", rows, columns, new double[rows * columns]);
            yield return Case("low rank", rows, columns, LowRank(rows, columns, 3));
        }

        yield return Case("hilbert", 12, 12, Fill(12, 12, (i, j) => 1.0 / (i + j + 1)));
        yield return Case("identity", 70, 70, Fill(70, 70, (i, j) => i == j ? 1 : 0));
        yield return Case("repeated values", 80, 80, Repeated(80));
        yield return Case("graded", 90, 90, Fill(90, 90, (i, j) => (i == j ? 1 : 0.3) * Math.Pow(2, -j / 2.0)));
        yield return Case("equal columns", 100, 70, Fill(100, 70, (i, j) => Math.Sin(i) + (j % 2 * Math.Cos(i * i))));
        yield return Case("one entry", 70, 66, Fill(70, 66, (i, j) => i == 40 && j == 3 ? -5 : 0));
    }

    [TestCaseSource(nameof(Matrices))]
    public void Svd_reconstructs_with_orthonormal_vectors_and_descending_values(int m, int n, double[] a)
    {
        Svd svd = Svd.Thin(a, m, n);
        int k = Math.Min(m, n);
        double scale = Math.Max(1, Norm(a));
        Assert.That(svd.S, Is.Ordered.Descending);
        Assert.That(svd.S[^1], Is.GreaterThanOrEqualTo(0));
        Worst.Within(MatrixProduct.Multiply(svd.U, svd.U, k, k, m, transposeA: true), Identity(k), Tight, 0, "UᵀU", new Shape(k, k));
        Worst.Within(MatrixProduct.Multiply(svd.Vt, svd.Vt, k, k, n, transposeB: true), Identity(k), Tight, 0, "VᵀV", new Shape(k, k));
        double[] us = Fill(m, k, (i, j) => svd.U[(i * k) + j] * svd.S[j]);
        Worst.Within(MatrixProduct.Multiply(us, svd.Vt, m, n, k), a, Tight * scale, 0, "U S Vᵀ", new Shape(m, n));
        for (int j = 0; j < k; j++)
        {
            double[] column = [.. Enumerable.Range(0, m).Select(i => svd.U[(i * k) + j])];
            Assert.That(column.MaxBy(Math.Abs), Is.Positive, $"sign of column {j}");
        }
    }

    [TestCaseSource(nameof(Matrices))]
    public void Qr_reconstructs_with_orthonormal_columns_and_a_triangle(int m, int n, double[] a)
    {
        Qr qr = Qr.Thin(a, m, n);
        int k = qr.Rank;
        Worst.Within(MatrixProduct.Multiply(qr.Q, qr.Q, k, k, m, transposeA: true), Identity(k), Tight, 0, "QᵀQ", new Shape(k, k));
        Worst.Within(MatrixProduct.Multiply(qr.Q, qr.R, m, n, k), a, Tight * Math.Max(1, Norm(a)), 0, "Q R", new Shape(m, n));
        for (int i = 0; i < k; i++)
        {
            Assert.That(qr.R[(i * n) + i], Is.GreaterThanOrEqualTo(0));
            Assert.That(qr.R[(i * n)..((i * n) + i)], Is.All.Zero);
        }
    }

    [TestCaseSource(nameof(Matrices))]
    public void Eigenvectors_of_a_gram_matrix_reconstruct_it_and_its_values_are_squared_singular_values(int m, int n, double[] a)
    {
        double[] gram = MatrixProduct.Multiply(a, a, n, n, m, transposeA: true);
        SymmetricEigen eigen = SymmetricEigen.Decompose(gram, n);
        double scale = Math.Max(1, Norm(gram));
        Assert.That(eigen.Values, Is.Ordered.Ascending);
        double[] product = MatrixProduct.Multiply(eigen.VectorsTransposed, eigen.VectorsTransposed, n, n, n, transposeB: true);
        Worst.Within(product, Identity(n), Tight, 0, "VᵀV", new Shape(n, n));
        double[] scaled = Fill(n, n, (i, j) => eigen.VectorsTransposed[(i * n) + j] * eigen.Values[i]);
        Worst.Within(MatrixProduct.Multiply(eigen.VectorsTransposed, scaled, n, n, n, transposeA: true), gram, Tight * scale, 0, "V Λ Vᵀ", new Shape(n, n));
        double[] squares = [.. Svd.Thin(a, m, n).S.Select(s => s * s).Take(Math.Min(m, n))];
        Worst.Within(eigen.Values.Reverse().Take(squares.Length).ToArray(), squares, Tight * scale, 0, "values");
    }

    [TestCase(1e-200)]
    [TestCase(1e200)]
    public void Scaling_a_matrix_scales_its_values_and_leaves_its_vectors(double factor)
    {
        double exact = Math.ScaleB(1, Math.ILogB(factor));
        double[] a = Normal(30, 20);
        Svd plain = Svd.Thin(a, 30, 20);
        Svd scaled = Svd.Thin(a.Select(x => x * exact).ToArray(), 30, 20);
        Assert.That(scaled.U, Is.EqualTo(plain.U));
        Assert.That(scaled.Vt, Is.EqualTo(plain.Vt));
        Assert.That(scaled.S, Is.EqualTo(plain.S.Select(s => s * exact)));
        Assert.That(Qr.Thin(a.Select(x => x * exact).ToArray(), 30, 20).Q, Is.EqualTo(Qr.Thin(a, 30, 20).Q));
    }

    [Test]
    public void Small_singular_values_of_a_hilbert_matrix_are_right_to_the_rounding_of_the_largest()
    {
        Svd svd = Svd.Thin(Fill(8, 8, (i, j) => 1.0 / (i + j + 1)), 8, 8);
        Assert.That(svd.S[0], Is.EqualTo(1.6959389969219498).Within(1e-14));
        Assert.That(svd.S[^1], Is.EqualTo(1.1115389e-10).Within(1e-15));
    }

    [Test]
    public void Truncation_is_the_best_approximation_of_its_rank()
    {
        Svd whole = Svd.Thin(Normal(40, 25), 40, 25);
        Svd part = whole.Truncate(6);
        double[] us = Fill(40, 6, (i, j) => part.U[(i * 6) + j] * part.S[j]);
        double[] rest = MatrixProduct.Multiply(us, part.Vt, 40, 25, 6).Zip(Normal(40, 25), (x, y) => x - y).ToArray();
        Assert.That(Norm(rest), Is.EqualTo(Math.Sqrt(whole.S.Skip(6).Sum(s => s * s))).Within(1e-12));
    }

    [Test]
    public void Decompositions_are_the_same_bits_every_time()
    {
        double[] a = Normal(300, 200);
        Svd first = Svd.Thin(a, 300, 200), second = Svd.Thin(a, 300, 200);
        Assert.That(second.U, Is.EqualTo(first.U));
        Assert.That(second.S, Is.EqualTo(first.S));
        Assert.That(second.Vt, Is.EqualTo(first.Vt));
    }

    [TestCase(double.NaN)]
    [TestCase(double.PositiveInfinity)]
    public void An_entry_that_is_not_finite_is_named(double bad)
    {
        double[] a = Normal(3, 3);
        a[5] = bad;
        float[] f = Array.ConvertAll(a, x => (float)x);
        Action[] calls =
        [
            () => Svd.Thin(a, 3, 3), () => Svd.Thin(f, 3, 3), () => Qr.Thin(a, 3, 3), () => SymmetricEigen.Decompose(a, 3), () => Cholesky.Decompose(a, 3),
            () => Lu.Decompose(a, 3), () => MatrixExponential.Of(a, 3), () => RandomizedRange.Find(f, 3, 3, 2, 1, new Rng(1)),
        ];
        foreach (Action call in calls)
        {
            Assert.That(call, Throws.TypeOf<LinearAlgebraException>().With.Message.Contains("(1, 2)"));
        }
    }

    [Test]
    public void Sizes_that_do_not_fit_and_matrices_that_cannot_be_factored_are_refused()
    {
        Assert.That(() => Svd.Thin(new double[5], 2, 3), Throws.TypeOf<ShapeException>());
        Assert.That(() => Qr.Thin(Array.Empty<double>(), 0, 3), Throws.TypeOf<ShapeException>());
        Assert.That(() => Cholesky.Decompose(new double[] { 1, 2, 2, 1 }, 2), Throws.TypeOf<LinearAlgebraException>().With.Message.Contains("pivot 1"));
        Assert.That(() => Lu.Decompose(new double[] { 1, 2, 2, 4 }, 2).Inverse(), Throws.TypeOf<LinearAlgebraException>());
        Assert.That(() => RandomizedRange.Find(new float[6], 2, 3, 3, 0, new Rng(1)), Throws.TypeOf<ShapeException>());
    }

    [Test]
    public void A_cholesky_solution_solves()
    {
        double[] a = Normal(40, 20);
        double[] gram = MatrixProduct.Multiply(a, a, 20, 20, 40, transposeA: true);
        double[] b = Normal(20, 3);
        Worst.Within(MatrixProduct.Multiply(gram, Cholesky.Decompose(gram, 20).Solve(b, 3), 20, 3, 20), b, 1e-11, 0, "A X");
    }

    private static TestCaseData Case(string name, int m, int n, double[] a) => new TestCaseData(m, n, a).SetArgDisplayNames($"{name} {m}x{n}");

    private static double Norm(double[] a) => Math.Sqrt(a.Sum(x => x * x));

    private static double[] Identity(int n) => Fill(n, n, (i, j) => i == j ? 1 : 0);

    private static double[] Fill(int m, int n, Func<int, int, double> entry)
    {
        double[] a = new double[m * n];
        for (int i = 0; i < a.Length; i++)
        {
            a[i] = entry(i / n, i % n);
        }

        return a;
    }

    private static double[] Normal(int m, int n)
    {
        float[] x = new float[m * n];
        new Rng(5).Stream($"{m}x{n}").FillNormal(0, x, 0, 1 / MathF.Sqrt(Math.Max(m, n)));
        return Array.ConvertAll(x, v => (double)v);
    }

    private static double[] LowRank(int m, int n, int rank) => MatrixProduct.Multiply(Normal(m, rank), Normal(rank, n), m, n, rank);

    // Orthogonal factors around values 1 and 1/2, forty each.
    private static double[] Repeated(int n)
    {
        double[] u = Qr.Thin(Normal(n, n), n, n).Q;
        return MatrixProduct.Multiply(Fill(n, n, (i, j) => u[(i * n) + j] * (j < n / 2 ? 1 : 0.5)), u, n, n, n, transposeB: true);
    }
}
