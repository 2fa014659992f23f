using System.Runtime.Intrinsics;

namespace Graft.Runtime.LinearAlgebra;

/// <summary>
/// Eigenvalues of a tridiagonal matrix by QL with Wilkinson's shift; the rotations are kept and applied to the vectors many at a time, stripe by stripe
/// in cache.
/// </summary>
/// <remarks>
/// Method: Golub and Van Loan, "Matrix Computations", 4th edition, algorithm 8.3.3. A stripe sees all rotations in their order, so threads cannot change
/// bits.
/// </remarks>
internal sealed class ImplicitQl(double[] d, double[] e, double[] vectors, int n)
{
    private const int Stripe = 16; // columns: n rows of 128 bytes stay in the second-level cache up to n of some thousands
    private const int MaxIterations = 60;
    private const int BatchSweeps = 48;
    private const double Unit = 1.1102230246251565e-16; // 2^-53

    private readonly List<(int First, int Last, int At)> _sweeps = [];
    private readonly List<(double Cos, double Sin)> _rotations = [];

    /// <summary>d becomes the eigenvalues, the rows of vectors are turned along.</summary>
    public void Run()
    {
        // A matrix of low rank has a block of pure rounding, where entries are never small beside their neighbours: a part of the norm's rounding counts too.
        double negligible = Unit / 32 * Math.Max(Dense.MaxAbs(d), Dense.MaxAbs(e));
        for (int l = 0; l < n; l++)
        {
            for (int iteration = 0; ; iteration++)
            {
                int m = l;
                while (m < n - 1 && Math.Abs(e[m]) > negligible + (Unit * (Math.Abs(d[m]) + Math.Abs(d[m + 1]))))
                {
                    m++;
                }

                if (m == l)
                {
                    break;
                }

                if (iteration == MaxIterations)
                {
                    LinearAlgebraException.Throw($"SymmetricEigen: eigenvalue {l} of {n} has not converged in {MaxIterations} iterations.");
                }

                Sweep(l, m);
                if (_sweeps.Count == BatchSweeps)
                {
                    ApplyRotations();
                }
            }
        }

        ApplyRotations();
    }

    private void Sweep(int l, int m)
    {
        double g = (d[l + 1] - d[l]) / (2 * e[l]);
        g = d[m] - d[l] + (e[l] / (g + Math.CopySign(Length(g, 1), g)));
        double s = 1, c = 1, p = 0;
        int at = _rotations.Count;
        int i = m - 1;
        for (; i >= l; i--)
        {
            double f = s * e[i];
            double b = c * e[i];
            double r = Length(f, g);
            e[i + 1] = r;
            if (r == 0)
            {
                d[i + 1] -= p; // the matrix has split here: what is left is found in the next round
                e[m] = 0;
                break;
            }

            s = f / r;
            c = g / r;
            g = d[i + 1] - p;
            r = ((d[i] - g) * s) + (2 * c * b);
            p = s * r;
            d[i + 1] = g + p;
            g = (c * r) - b;
            _rotations.Add((c, s));
        }

        if (_rotations.Count > at)
        {
            _sweeps.Add((m - 1, i + 1, at));
        }

        if (i < l)
        {
            d[l] -= p;
            e[l] = g;
            e[m] = 0;
        }
    }

    private void ApplyRotations()
    {
        if (_sweeps.Count == 0)
        {
            return;
        }

        Dense.For((n + Stripe - 1) / Stripe, 6.0 * _rotations.Count * n, ApplyToStripe);
        _sweeps.Clear();
        _rotations.Clear();
    }

    private void ApplyToStripe(int stripe)
    {
        int column = stripe * Stripe;
        int width = Math.Min(Stripe, n - column);
        double[] rows = new double[n * Stripe];
        for (int i = 0; i < n; i++)
        {
            vectors.AsSpan((i * n) + column, width).CopyTo(rows.AsSpan(i * Stripe));
        }

        ReadOnlySpan<(double Cos, double Sin)> rotations = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_rotations);
        foreach ((int first, int last, int at) in _sweeps)
        {
            ApplySweep(rows, first, rotations.Slice(at, first - last + 1));
        }

        for (int i = 0; i < n; i++)
        {
            rows.AsSpan(i * Stripe, width).CopyTo(vectors.AsSpan((i * n) + column));
        }
    }

    // Rotation i turns rows i and i + 1, and the next one rows i - 1 and i: row i stays in registers between the two.
    private static unsafe void ApplySweep(double[] rows, int first, ReadOnlySpan<(double Cos, double Sin)> rotations)
    {
        fixed (double* start = &rows[(first + 1) * Stripe])
        {
            double* high = start;
            Vector256<double> h0 = Vector256.Load(high), h1 = Vector256.Load(high + 4), h2 = Vector256.Load(high + 8), h3 = Vector256.Load(high + 12);
            for (int i = 0; i < rotations.Length; i++)
            {
                double* low = high - Stripe;
                Vector256<double> c = Vector256.Create(rotations[i].Cos), s = Vector256.Create(rotations[i].Sin);
                Vector256<double> l0 = Vector256.Load(low), l1 = Vector256.Load(low + 4), l2 = Vector256.Load(low + 8), l3 = Vector256.Load(low + 12);
                Vector256.FusedMultiplyAdd(s, l0, c * h0).Store(high);
                Vector256.FusedMultiplyAdd(s, l1, c * h1).Store(high + 4);
                Vector256.FusedMultiplyAdd(s, l2, c * h2).Store(high + 8);
                Vector256.FusedMultiplyAdd(s, l3, c * h3).Store(high + 12);
                h0 = Vector256.FusedMultiplyAdd(c, l0, -(s * h0));
                h1 = Vector256.FusedMultiplyAdd(c, l1, -(s * h1));
                h2 = Vector256.FusedMultiplyAdd(c, l2, -(s * h2));
                h3 = Vector256.FusedMultiplyAdd(c, l3, -(s * h3));
                high = low;
            }

            h0.Store(high);
            h1.Store(high + 4);
            h2.Store(high + 8);
            h3.Store(high + 12);
        }
    }

    private static double Length(double x, double y) => Math.Sqrt((x * x) + (y * y));
}
