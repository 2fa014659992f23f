using System.Globalization;

namespace Graft.Tests;

/// <summary>Whole-tensor comparisons that name the worst element.</summary>
public static class Closeness
{
    /// <summary>Asserts max|a − b| ≤ tolerance · scale, scale being max|b|, or at least <paramref name="leastScale"/>.</summary>
    public static void AssertClose(string name, ReadOnlySpan<float> actual, ReadOnlySpan<float> expected, double tolerance, double leastScale = 0)
    {
        double scale = leastScale;
        foreach (float value in expected)
        {
            scale = Math.Max(scale, Math.Abs((double)value));
        }

        AssertAbsolute(name, actual, expected, tolerance * Math.Max(scale, 1e-30));
    }

    /// <summary>Asserts max|a − b| ≤ tolerance.</summary>
    public static void AssertAbsolute(string name, ReadOnlySpan<float> actual, ReadOnlySpan<float> expected, double tolerance)
    {
        Assert.That(actual.Length, Is.EqualTo(expected.Length), $"{name}: number of elements");
        int worst = -1;
        double distance = -1;
        for (int i = 0; i < actual.Length; i++)
        {
            double d = Math.Abs((double)actual[i] - expected[i]);
            if (actual[i].Equals(expected[i]))
            {
                d = 0;
            }

            if (d > distance || double.IsNaN(d))
            {
                (worst, distance) = (i, d);
                if (double.IsNaN(d))
                {
                    break;
                }
            }
        }

        if (worst >= 0 && !(distance <= tolerance))
        {
            Assert.Fail(string.Create(
                CultureInfo.InvariantCulture,
                $"{name}: element {worst} is {actual[worst]:R}, recorded {expected[worst]:R}: {distance:E2}, {distance / tolerance:F1} times the tolerance {tolerance:E2}"));
        }
    }
}
