namespace Graft.Bench.Works;

/// <summary>How far measured costs lie off a line.</summary>
internal static class Growth
{
    /// <summary>The largest relative distance of a cost from the line a + b·amount that fits them best, each cost weighing the same.</summary>
    /// <param name="amounts">Tokens, layers.</param>
    /// <param name="costs">Seconds.</param>
    public static double Deviation(ReadOnlySpan<double> amounts, ReadOnlySpan<double> costs)
    {
        // Least squares of (a + b·x − y) / y: with u = 1/y and v = x/y, a·u + b·v = 1.
        double uu = 0, uv = 0, vv = 0, us = 0, vs = 0;
        for (int i = 0; i < amounts.Length; i++)
        {
            double u = 1 / costs[i], v = amounts[i] / costs[i];
            (uu, uv, vv, us, vs) = (uu + (u * u), uv + (u * v), vv + (v * v), us + u, vs + v);
        }

        double determinant = (uu * vv) - (uv * uv), a = ((us * vv) - (vs * uv)) / determinant, b = ((uu * vs) - (uv * us)) / determinant, worst = 0;
        for (int i = 0; i < amounts.Length; i++)
        {
            worst = Math.Max(worst, Math.Abs(((a + (b * amounts[i])) / costs[i]) - 1));
        }

        return worst;
    }
}
