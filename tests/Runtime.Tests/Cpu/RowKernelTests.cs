using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Cpu;

/// <summary>Kernels over rows against plain F64 loops, at lengths around the vector width, and with one thread and three.</summary>
[TestFixture]
public sealed class RowKernelTests
{
    internal static readonly (int Rows, int Columns)[] Sizes = [(0, 8), (1, 1), (3, 7), (5, 16), (4, 33), (2, 129), (70, 1030), (3, 40_000)];

    [TestCaseSource(nameof(Sizes))]
    public void Softmax_and_its_logarithm((int Rows, int Columns) size)
    {
        (int n, int c) = size;
        float[] x = Kernels.Numbers(n * c, 1, 3), dy = Kernels.Numbers(n * c, 2);
        double[] y = new double[n * c], log = new double[n * c], lse = new double[n], dx = new double[n * c], dlog = new double[n * c];
        for (int r = 0; r < n; r++)
        {
            double max = x.Skip(r * c).Take(c).Max(), sum = 0, dot = 0, all = 0;
            for (int i = r * c; i < (r + 1) * c; i++)
            {
                sum += Math.Exp(x[i] - max);
            }

            lse[r] = max + Math.Log(sum);
            for (int i = r * c; i < (r + 1) * c; i++)
            {
                log[i] = x[i] - lse[r];
                y[i] = Math.Exp(log[i]);
                dot += y[i] * dy[i];
                all += dy[i];
            }

            for (int i = r * c; i < (r + 1) * c; i++)
            {
                dx[i] = y[i] * (dy[i] - dot);
                dlog[i] = dy[i] - (y[i] * all);
            }
        }

        // The sum of a long row of gradients is some tens: half an ulp of that is 2e-6, and it meets every element.
        float[] y32 = Array.ConvertAll(y, v => (float)v), log32 = Array.ConvertAll(log, v => (float)v);
        Kernels.Check("softmax", y, 1e-6, (t, to) => SoftmaxKernels.Forward(t, n, c, x, to));
        Kernels.Check("softmax backward", dx, 1e-6, (t, to) => SoftmaxKernels.Backward(t, n, c, y32, dy, to));
        Kernels.Check("log-softmax", log, 1e-6, (t, to) => SoftmaxKernels.LogForward(t, n, c, x, to));
        Kernels.Check("log-softmax backward", dlog, 6e-6, (t, to) => SoftmaxKernels.LogBackward(t, n, c, log32, dy, to));
        Kernels.Check("logsumexp", lse, 1e-6, (t, to) => SoftmaxKernels.LogSumExp(t, n, c, x, to));
        Kernels.Check("softmax in place", y, 1e-6, (t, to) =>
        {
            x.CopyTo(to);
            SoftmaxKernels.Forward(t, n, c, to, to);
        });
    }

    [Test]
    public void Softmax_of_masked_and_huge_numbers_stays_finite()
    {
        using WorkerTeam team = new(1);
        float[] x = [float.NegativeInfinity, 3e38f, 3e38f, -3e38f, 0, -1e4f], y = new float[6], lse = new float[2];
        SoftmaxKernels.Forward(team, 2, 3, x, y);
        Assert.That(y, Is.EqualTo(new float[] { 0, 0.5f, 0.5f, 0, 1, 0 }));
        SoftmaxKernels.LogSumExp(team, 2, 3, [float.NegativeInfinity, float.NegativeInfinity, float.NegativeInfinity, 1e30f, 1e30f, float.NegativeInfinity], lse);
        Assert.That(lse, Is.EqualTo(new[] { float.NegativeInfinity, 1e30f }));
    }

    [TestCase(float.NegativeInfinity, -7, -7)]
    [TestCase(-3e38f, -2e38f, -2e38f)]
    [TestCase(0, float.PositiveInfinity, float.PositiveInfinity)]
    [TestCase(0, float.NaN, float.NaN)]
    [TestCase(float.NaN, 0, float.NaN)]
    public void A_row_of_many_blocks_may_end_in_another_magnitude(float most, float last, float expected)
    {
        using WorkerTeam team = new(1);
        float[] x = new float[20_000], lse = new float[1];
        Array.Fill(x, most);
        x[^1] = last;
        SoftmaxKernels.LogSumExp(team, 1, x.Length, x, lse);
        Assert.That(lse[0], Is.EqualTo(expected));
    }

    [TestCaseSource(nameof(Sizes))]
    public void Sums_and_maxima((int Rows, int Columns) size)
    {
        (int n, int c) = size;
        float[] x = Kernels.Numbers(n * c, 3), y = Kernels.Numbers(n * c, 4), workspace = new float[Reductions.ColumnWorkspace(n, c)];
        double[] sum = new double[n], squares = new double[n], max = new double[n], dot = new double[n], columns = new double[c];
        Array.Fill(max, double.NegativeInfinity);
        double largest = double.NegativeInfinity;
        for (int i = 0; i < n * c; i++)
        {
            sum[i / c] += x[i];
            squares[i / c] += (double)x[i] * x[i];
            dot[i / c] += (double)x[i] * y[i];
            max[i / c] = Math.Max(max[i / c], x[i]);
            largest = Math.Max(largest, x[i]);
            columns[i % c] += x[i] / 7.0;
        }

        double tolerance = 1e-6 * Math.Sqrt(c);
        Kernels.Check("sum", sum, tolerance, (t, to) => Reductions.SumRows<IdentityOperator>(t, n, c, x, to));
        Kernels.Check("mean", sum.Select(v => v / c).ToArray(), 1e-6, (t, to) => Reductions.SumRows<IdentityOperator>(t, n, c, x, to, 1.0 / c));
        Kernels.Check("squares", squares, 1e-6, (t, to) => Reductions.SumRows<SquareOperator>(t, n, c, x, to));
        Kernels.Check("dot", dot, tolerance, (t, to) => Reductions.DotRows(t, n, c, x, y, to));
        Kernels.Check("max", max, 0, (t, to) => Reductions.MaxRows(t, n, c, x, to));
        Kernels.Check("columns", columns, 1e-6, (t, to) => Reductions.SumColumns(t, n, c, x, to, workspace, 1 / 7.0));
        Kernels.Check("all", [sum.Sum()], tolerance * Math.Sqrt(n), (t, to) => to[0] = (float)Reductions.Sum<IdentityOperator>(t, x));
        Kernels.Check("largest", [largest], 0, (t, to) => to[0] = Reductions.Max(t, x));
        Kernels.Check("sum of squares", [squares.Sum()], 1e-7, (t, to) => to[0] = (float)FlatBlocks.SumOfSquares(t, x));
    }

    [Test]
    public void Norm_of_numbers_whose_squares_overflow_F32_is_finite()
    {
        using WorkerTeam team = new(2);
        float[] x = new float[100_000];
        Array.Fill(x, 1e30f);
        Assert.That(FlatBlocks.SumOfSquares(team, x), Is.EqualTo((double)1e30f * 1e30f * 1e5).Within(1e-9).Percent);
        x[77] = float.NaN;
        Assert.That(FlatBlocks.SumOfSquares(team, x), Is.NaN);
        Assert.That(Reductions.Max(team, x), Is.NaN);
    }

    [TestCaseSource(nameof(Sizes))]
    public void Rms_norm((int Rows, int Columns) size)
    {
        (int n, int c) = size;
        const float Epsilon = 1e-5f;
        float[] x = Kernels.Numbers(n * c, 5), w = Kernels.Numbers(c, 6), dy = Kernels.Numbers(n * c, 7), workspace = new float[Reductions.ColumnWorkspace(n, c)];
        double[] y = new double[n * c], rstd = new double[n], dx = new double[n * c], dw = new double[c];
        for (int r = 0; r < n; r++)
        {
            double squares = 0, dot = 0;
            for (int j = 0; j < c; j++)
            {
                squares += (double)x[(r * c) + j] * x[(r * c) + j];
            }

            rstd[r] = 1 / Math.Sqrt((squares / c) + Epsilon);
            for (int j = 0; j < c; j++)
            {
                int i = (r * c) + j;
                y[i] = x[i] * rstd[r] * w[j];
                dot += (double)w[j] * dy[i] * x[i] * rstd[r] / c;
                dw[j] += dy[i] * x[i] * rstd[r];
            }

            for (int j = 0; j < c; j++)
            {
                int i = (r * c) + j;
                dx[i] = rstd[r] * ((w[j] * (double)dy[i]) - (x[i] * rstd[r] * dot));
            }
        }

        float[] saved = new float[n];
        double tolerance = c == 1 ? 1e-5 : 2e-6; // one column: two terms that cancel but for ε
        Kernels.Check("rms norm", y, 1e-6, (t, to) => RmsNormKernel.Forward(t, n, c, x, w, Epsilon, to, saved));
        Assert.That(saved.Zip(rstd, (a, b) => Math.Abs(a - b) / b).DefaultIfEmpty(0).Max(), Is.LessThan(1e-6));
        Kernels.Check("rms norm dx", dx, tolerance, (t, to) => RmsNormKernel.Backward(t, n, c, x, w, saved, dy, to, [], []));
        Kernels.Check("rms norm dw", dw, 5e-6, (t, to) => RmsNormKernel.Backward(t, n, c, x, w, saved, dy, [], to, workspace));
        Kernels.Check("rms norm dx beside dw", dx, tolerance, (t, to) => RmsNormKernel.Backward(t, n, c, x, w, saved, dy, to, new float[c], workspace));
    }

    [TestCaseSource(nameof(Sizes))]
    public void Layer_norm((int Rows, int Columns) size)
    {
        (int n, int c) = size;
        const float Epsilon = 1e-3f;
        float[] x = Kernels.Numbers(n * c, 5), w = Kernels.Numbers(c, 6), b = Kernels.Numbers(c, 8), dy = Kernels.Numbers(n * c, 7);
        float[] workspace = new float[2 * Reductions.ColumnWorkspace(n, c)];
        double[] y = new double[n * c], bare = new double[n * c], dx = new double[n * c], dw = new double[c], db = new double[c];
        for (int r = 0; r < n; r++)
        {
            int at = r * c;
            double mean = x.Skip(at).Take(c).Average(v => (double)v);
            double rstd = 1 / Math.Sqrt(x.Skip(at).Take(c).Average(v => (v - mean) * (v - mean)) + Epsilon);
            double sum = 0, dot = 0;
            for (int j = 0; j < c; j++)
            {
                double normal = (x[at + j] - mean) * rstd;
                bare[at + j] = normal * w[j];
                y[at + j] = bare[at + j] + b[j];
                sum += (double)w[j] * dy[at + j] / c;
                dot += (double)w[j] * dy[at + j] * normal / c;
                dw[j] += dy[at + j] * normal;
                db[j] += dy[at + j];
            }

            for (int j = 0; j < c; j++)
            {
                dx[at + j] = rstd * ((w[j] * (double)dy[at + j]) - sum - ((x[at + j] - mean) * rstd * dot));
            }
        }

        float[] mean32 = new float[n], rstd32 = new float[n];
        double tolerance = c == 1 ? 1e-4 : 4e-6; // one column: the exact result is 0 · 30
        Kernels.Check("layer norm", y, 2e-6, (t, to) => LayerNormKernel.Forward(t, n, c, x, w, b, Epsilon, to, mean32, rstd32));
        Kernels.Check("layer norm without bias", bare, 2e-6, (t, to) => LayerNormKernel.Forward(t, n, c, x, w, [], Epsilon, to, mean32, rstd32));
        Kernels.Check("layer norm dx", dx, tolerance, (t, to) => LayerNormKernel.Backward(t, n, c, x, w, mean32, rstd32, dy, to, [], [], []));
        Kernels.Check("layer norm dw", dw, 5e-6, (t, to) => LayerNormKernel.Backward(t, n, c, x, w, mean32, rstd32, dy, [], to, [], workspace));
        Kernels.Check("layer norm db", db, 4e-6, (t, to) => LayerNormKernel.Backward(t, n, c, x, w, mean32, rstd32, dy, [], [], to, workspace));
    }

    [Test]
    public void Variance_survives_a_large_mean()
    {
        using WorkerTeam team = new(1);
        float[] x = new float[1024], y = new float[1024], ones = new float[1024], mean = new float[1], rstd = new float[1];
        new Rng(1).FillNormal(0, x, 4000);
        Array.Fill(ones, 1);
        LayerNormKernel.Forward(team, 1, 1024, x, ones, [], 0, y, mean, rstd);
        double average = x.Average(v => (double)v);
        Assert.That(rstd[0], Is.EqualTo(1 / Math.Sqrt(x.Average(v => (v - average) * (v - average)))).Within(1e-4).Percent);
    }
}
