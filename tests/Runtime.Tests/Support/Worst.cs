using System.Globalization;

namespace Graft.Runtime.Tests.Support;

/// <summary>The element of a comparison that is furthest out, for messages that say more than "differs".</summary>
internal static class Worst
{
    /// <summary>Asserts |actual - expected| at most absolute + relative · |expected| everywhere; NaN equals NaN, infinities equal themselves.</summary>
    public static void Within(IReadOnlyList<double> actual, IReadOnlyList<double> expected, double absolute, double relative, string what, Shape? shape = null)
    {
        if (Message(actual, expected, absolute, relative, what, shape) is { } message)
        {
            Assert.Fail(message);
        }
    }

    /// <summary>Null where all elements are within; else what to report.</summary>
    public static string? Message(
        IReadOnlyList<double> actual, IReadOnlyList<double> expected, double absolute, double relative, string what, Shape? shape = null)
    {
        if (actual.Count != expected.Count)
        {
            return $"{what}: {actual.Count} elements, {expected.Count} expected.";
        }

        int worst = -1;
        double most = 1;
        int failures = 0;
        for (int i = 0; i < actual.Count; i++)
        {
            double ratio = Ratio(actual[i], expected[i], absolute, relative);
            if (ratio > 1)
            {
                failures++;
                if (worst < 0 || ratio > most)
                {
                    (worst, most) = (i, ratio);
                }
            }
        }

        return worst < 0 ? null : string.Create(CultureInfo.InvariantCulture,
            $"{what}: element {Index(worst, shape)} is {actual[worst]:r}, {expected[worst]:r} expected: "
            + $"{most:g3} times the tolerance ({failures} of {actual.Count} are out).");
    }

    private static double Ratio(double actual, double expected, double absolute, double relative)
    {
        if (actual.Equals(expected) || actual == expected)
        {
            return 0;
        }

        double error = Math.Abs(actual - expected);
        double tolerance = absolute + (relative * Math.Abs(expected));
        return double.IsNaN(error) ? double.PositiveInfinity : tolerance == 0 ? double.PositiveInfinity : error / tolerance;
    }

    private static string Index(int at, Shape? shape)
    {
        if (shape is not { Rank: > 1 } s)
        {
            return at.ToString(CultureInfo.InvariantCulture);
        }

        int[] index = new int[s.Rank];
        for (int axis = s.Rank - 1; axis >= 0; axis--)
        {
            index[axis] = at % Math.Max(1, s[axis]);
            at /= Math.Max(1, s[axis]);
        }

        return $"({string.Join(", ", index)})";
    }
}
