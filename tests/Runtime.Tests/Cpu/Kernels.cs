using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Cpu;

/// <summary>What the tests of kernels share: numbers, margins around results, and the worst element.</summary>
internal static class Kernels
{
    private const int Margin = 16;

    public delegate void Kernel(WorkerTeam team, Span<float> result);

    public static float[] Numbers(int n, ulong seed, float deviation = 1)
    {
        float[] values = new float[n];
        new Rng(seed).FillNormal(0, values, 0, deviation);
        return values;
    }

    /// <summary>Runs with one thread and with three: within the tolerance (times max(1, |expected|)) of the truth, the same bits, nothing written beside the result.</summary>
    public static void Check(string name, double[] expected, double tolerance, Kernel kernel)
    {
        float[] one = Run(1, expected.Length, kernel);
        float[] three = Run(3, expected.Length, kernel);
        double worst = 0;
        int at = -1;
        for (int i = 0; i < one.Length; i++)
        {
            if (BitConverter.SingleToInt32Bits(one[i]) != BitConverter.SingleToInt32Bits(three[i]))
            {
                Assert.Fail($"{name}: element {i} is {one[i]:R} with one thread, {three[i]:R} with three");
            }

            if (i >= Margin && i < Margin + expected.Length)
            {
                double truth = expected[i - Margin];
                double error = one[i] == truth ? 0 : Math.Abs(one[i] - truth) / Math.Max(1, Math.Abs(truth));
                if (!(error <= worst))
                {
                    (worst, at) = (error, i - Margin);
                }
            }
            else if (one[i] != float.MaxValue)
            {
                Assert.Fail($"{name}: written beside the result, at {i - Margin} of {expected.Length}");
            }
        }

        if (!(worst <= tolerance))
        {
            Assert.Fail($"{name}: element {at} of {expected.Length} is {one[at + Margin]:R} for {expected[at]:R}, {worst / tolerance:F2} times the tolerance {tolerance}");
        }
    }

    private static float[] Run(int threads, int length, Kernel kernel)
    {
        using WorkerTeam team = new(threads);
        float[] result = new float[length + (2 * Margin)];
        Array.Fill(result, float.MaxValue);
        kernel(team, result.AsSpan(Margin, length));
        return result;
    }
}
