namespace Graft.Runtime.LinearAlgebra;

/// <summary>Exact scaling by a power of two, so that squares neither overflow nor vanish; and the sign convention of vectors.</summary>
internal static class Scaling
{
    /// <summary>Divides by the power of two that brings the largest magnitude into [1, 2); returns its exponent, 0 for a zero matrix.</summary>
    public static int Normalise(Span<double> a)
    {
        double max = Dense.MaxAbs(a);
        if (max == 0)
        {
            return 0;
        }

        int exponent = Math.ILogB(max);
        Restore(a, -exponent);
        return exponent;
    }

    /// <summary>Multiplies by 2^exponent.</summary>
    public static void Restore(Span<double> a, int exponent)
    {
        if (exponent == 0)
        {
            return;
        }

        for (int i = 0; i < a.Length; i++)
        {
            a[i] = Math.ScaleB(a[i], exponent);
        }
    }

    /// <summary>True if the entry of largest magnitude, the first of equal ones, is negative.</summary>
    public static bool IsTurned(ReadOnlySpan<double> vector)
    {
        int at = 0;
        for (int i = 1; i < vector.Length; i++)
        {
            if (Math.Abs(vector[i]) > Math.Abs(vector[at]))
            {
                at = i;
            }
        }

        return vector[at] < 0;
    }

    /// <summary>Changes every sign.</summary>
    public static void Negate(Span<double> vector)
    {
        for (int i = 0; i < vector.Length; i++)
        {
            vector[i] = -vector[i];
        }
    }
}
