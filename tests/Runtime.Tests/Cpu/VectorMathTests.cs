using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Cpu;

/// <summary>Elementary functions against F64 over bit patterns of all magnitudes, and all widths against each other.</summary>
[TestFixture]
public sealed unsafe class VectorMathTests
{
    private static readonly float[] s_edges =
    [
        0f, -0f, 1f, -1f, 0.5f, -0.5f, 2f, float.Epsilon, -float.Epsilon, 1.17549435e-38f, -1.17549435e-38f, 1e-39f, float.MaxValue, float.MinValue,
        float.PositiveInfinity, float.NegativeInfinity, float.NaN, 88.72283f, 88.722839f, 88.73f, -87.33654f, -87.34f, -103.27f, -103.97208f, -104f, -105f, 9.01f, -9.02f, 3.92f, 3.93f, 3.94f,
        0.99999994f, 1.0000001f, MathF.E, 0.70710677f, 0.70710678f, 1.4142135f, 1.4142137f, 16777216f, 1e10f, -1e10f, 20f, -20f, 1e30f, -1e30f,
    ];

    private static readonly Lazy<float[]> s_lazyValues = new(Values);

    /// <summary>The distance of the bit patterns tried; a slow processor's probe takes fewer.</summary>
    internal static long Stride { get; set; } = 8209;

    private static float[] AllValues => s_lazyValues.Value;

    [Test]
    public void Exp_is_within_1_2_ulp() => Check(new ExpOperator(), Math.Exp, 1.2);

    [Test]
    public void Exp2_is_within_1_ulp() => Check(new Exp2Operator(), x => Math.Pow(2, x), 1);

    [Test]
    public void Log_is_within_1_2_ulp() => Check(new LogOperator(), Math.Log, 1.2);

    [Test]
    public void Log1p_is_within_2_ulp() => Check(new Log1pOperator(), DoubleMath.Log1p, 2);

    [Test]
    public void Tanh_is_within_2_3_ulp() => Check(new TanhOperator(), Math.Tanh, 2.3);

    [Test]
    public void Sigmoid_is_within_2_5_ulp() => Check(new SigmoidOperator(), DoubleMath.Sigmoid, 2.5);

    [Test]
    public void Erf_is_within_1_5_ulp() => Check(new ErfOperator(), DoubleMath.Erf, 1.5);

    [TestCase(0.5, 0.52049987781304653768)]
    [TestCase(1, 0.84270079294971486934)]
    [TestCase(-2, -0.99532226501895273416)]
    [TestCase(2.4999, 0.99959283009966654862)]
    [TestCase(2.5, 0.99959304798255504106)]
    [TestCase(4, 0.99999998458274209972)]
    [TestCase(1e-10, 1.1283791670955125739e-10)]
    public void Erf_in_F64_agrees_with_tables(double x, double expected)
        => Assert.That(DoubleMath.Erf(x), Is.EqualTo(expected).Within(4e-16));

    private static float[] Values()
    {
        List<float> values = [.. s_edges];
        for (long bits = 0; bits < 1L << 32; bits += Stride)
        {
            values.Add(BitConverter.UInt32BitsToSingle((uint)bits));
        }

        for (float x = -12; x < 12; x += Stride / (4096f * 8209))
        {
            values.Add(x);
        }

        return [.. values];
    }

    private static void Check<TOperator>(TOperator op, Func<double, double> truth, double ulps)
        where TOperator : struct, IUnaryOperator
    {
        float[] y = Apply<Lanes512, TOperator>(op);
        float[][] others = [Apply<Lanes256, TOperator>(op), Apply<Lanes128, TOperator>(op), Apply<LanesScalar, TOperator>(op)];
        double worst = 0;
        int at = -1;
        for (int i = 0; i < y.Length; i++)
        {
            foreach (float[] other in others)
            {
                if (BitConverter.SingleToInt32Bits(other[i]) != BitConverter.SingleToInt32Bits(y[i]) && !(float.IsNaN(y[i]) && float.IsNaN(other[i])))
                {
                    Assert.Fail($"x = {AllValues[i]:R}: 512 bits give {y[i]:R}, a narrower width {other[i]:R}");
                }
            }

            double error = Ulps(y[i], truth(AllValues[i]));
            if (!(error <= worst))
            {
                (worst, at) = (error, i);
            }
        }

        TestContext.Out.WriteLine($"{typeof(TOperator).Name}: {worst:F3} ulp at {AllValues[Math.Max(at, 0)]:R}");
        Assert.That(worst, Is.LessThanOrEqualTo(ulps), at < 0 ? "" : $"x = {AllValues[at]:R}: {y[at]:R} for {truth(AllValues[at]):R}");
    }

    private static double Ulps(float value, double truth)
    {
        float nearest = (float)truth;
        if (float.IsNaN(nearest) || float.IsNaN(value))
        {
            return float.IsNaN(nearest) && float.IsNaN(value) ? 0 : double.PositiveInfinity;
        }

        if (float.IsInfinity(nearest) || float.IsInfinity(value))
        {
            // One step beside the overflow threshold counts as one ulp.
            float finite = float.IsInfinity(nearest) ? value : nearest;
            return nearest == value ? 0 : MathF.Abs(finite) == float.MaxValue ? 1 : double.PositiveInfinity;
        }

        if (nearest == 0 && value == 0)
        {
            return truth == 0 && float.IsNegative(nearest) != float.IsNegative(value) ? double.PositiveInfinity : 0;
        }

        float size = MathF.Abs(nearest);
        return Math.Abs(value - truth) / (size == float.MaxValue ? size - (double)MathF.BitDecrement(size) : MathF.BitIncrement(size) - (double)size);
    }

    private static float[] Apply<T, TOperator>(TOperator op)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, IUnaryOperator
    {
        float[] y = new float[AllValues.Length];
        fixed (float* px = AllValues, py = y)
        {
            Loop<T, TOperator>(px, py, y.Length, op);
        }

        return y;
    }

    private static void Loop<T, TOperator>(float* x, float* y, int count, TOperator op)
        where T : unmanaged, IFloatLanes<T>
        where TOperator : struct, IUnaryOperator
    {
        int i = 0;
        for (; i <= count - T.Count; i += T.Count)
        {
            T.Store(op.Invoke(T.Load(x + i)), y + i);
        }

        if (i < count)
        {
            Partial.Store(op.Invoke(Partial.Load<T>(x + i, count - i, 0)), y + i, count - i);
        }
    }

    private readonly struct Exp2Operator : IUnaryOperator
    {
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
            => T.Exp2(x);
    }

    private readonly struct Log1pOperator : IUnaryOperator
    {
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
            => T.Log1p(x);
    }
}
