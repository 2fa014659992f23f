namespace Graft.Runtime.Cpu;

/// <summary>The functions that <see cref="Math"/> lacks, in F64, for oracles: exact to a few units of 1e-16, not fast.</summary>
internal static class DoubleMath
{
    /// <summary>1 / (1 + e^-x), without overflow and with full relative accuracy on both sides.</summary>
    public static double Sigmoid(double x)
    {
        double decay = Math.Exp(-Math.Abs(x));
        return (x < 0 ? decay : 1) / (1 + decay);
    }

    /// <summary>log(1 + x), accurate for small x: the rounding of 1 + x is put back to first order.</summary>
    public static double Log1p(double x)
    {
        double sum = 1 + x;
        if (sum == 1)
        {
            return x;
        }

        return double.IsInfinity(sum) || sum <= 0 ? Math.Log(sum) : Math.Log(sum) - (((sum - 1) - x) / sum);
    }

    /// <summary>The error function: below 2.5 the series of erf(x)·e^x² (all terms of one sign), beyond it the continued fraction of erfc.</summary>
    public static double Erf(double x)
    {
        double size = Math.Abs(x);
        if (!(size < 6))
        {
            return double.IsNaN(x) ? x : Math.CopySign(1, x); // erfc(6) = 2e-17
        }

        if (size < 2.5)
        {
            double term = x;
            double sum = x;
            for (int n = 1; Math.Abs(term) > 1e-18 * Math.Abs(sum); n++)
            {
                term *= 2 * x * x / ((2 * n) + 1);
                sum += term;
            }

            return 2 / Math.Sqrt(Math.PI) * Math.Exp(-x * x) * sum;
        }

        // erfc(x) = e^-x² / √π · 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ...)))), from the inside out
        double tail = size;
        for (int n = 80; n >= 1; n--)
        {
            tail = size + ((n * 0.5) / tail);
        }

        return Math.CopySign(1 - (Math.Exp(-size * size) / (Math.Sqrt(Math.PI) * tail)), x);
    }
}
