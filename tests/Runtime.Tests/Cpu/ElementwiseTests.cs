using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Cpu;

/// <summary>Drivers of elementwise kernels: tails, margins, threads; operators against their F64 form and their derivatives against differences.</summary>
[TestFixture]
public sealed class ElementwiseTests
{
    private static readonly int[] s_lengths = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 127, WorkerTeam.Grain - 1, WorkerTeam.Grain, WorkerTeam.Grain + 1, 100_003];

    [TestCaseSource(nameof(s_lengths))]
    public void All_arities_agree_with_F64_at_every_length_and_touch_nothing_beside(int n)
    {
        using WorkerTeam team = new(2);
        float[] x = Numbers(n, 1), y = Numbers(n, 2), z = Numbers(n, 3);
        double[] expected = new double[n];

        float[] result = Margins(n);
        Elementwise.Run<SiluOperator>(team, x, result.AsSpan(8, n));
        Elementwise.Run<SiluOperator>(Wide(x), expected);
        Compare(result, expected);

        result = Margins(n);
        Elementwise.Run<SwiGluOperator>(team, x, y, result.AsSpan(8, n));
        Elementwise.Run<SwiGluOperator>(Wide(x), Wide(y), expected);
        Compare(result, expected);

        result = Margins(n);
        Elementwise.Run<SwiGluBackwardGateOperator>(team, x, y, z, result.AsSpan(8, n));
        Elementwise.Run<SwiGluBackwardGateOperator>(Wide(x), Wide(y), Wide(z), expected);
        Compare(result, expected);
    }

    [Test]
    public void The_same_bits_come_from_any_number_of_threads_and_in_place()
    {
        float[] x = Numbers(100_003, 1);
        float[][] results = new float[4][];
        for (int threads = 1; threads <= 4; threads++)
        {
            using WorkerTeam team = new(threads);
            results[threads - 1] = (float[])x.Clone();
            Elementwise.Run<GeluTanhOperator>(team, results[threads - 1], results[threads - 1]);
            Assert.That(results[threads - 1], Is.EqualTo(results[0]));
        }
    }

    [Test]
    public void A_result_of_another_length_is_refused()
    {
        using WorkerTeam team = new(1);
        float[] three = new float[3];
        Assert.That(() => Elementwise.Run<ExpOperator>(team, three, new float[4]), Throws.ArgumentException);
    }

    [TestCase("3,5", "3,5")]
    [TestCase("3,5", "5")]
    [TestCase("3,5", "3,1")]
    [TestCase("3,5", "")]
    [TestCase("", "3,5")]
    [TestCase("1,5", "3,1")]
    [TestCase("2,1,4,1,3", "5,1,7,1")]
    [TestCase("2,3,40000", "3,1")]
    [TestCase("40000", "3,1,40000")]
    [TestCase("70000", "1")]
    [TestCase("600,1,33", "600,4,33")]
    [TestCase("0,3", "3")]
    [TestCase("2,1,33", "2,5,33")]
    public void Operands_are_repeated_along_axes_of_length_one(string left, string right)
    {
        using WorkerTeam team = new(2);
        Shape xs = Parse(left), ys = Parse(right);
        Assert.That(BroadcastPlan.TryCombine(xs, ys, out Shape shape), Is.True);
        float[] x = Numbers((int)xs.Count, 4), y = Numbers((int)ys.Count, 5);
        double[] expected = new double[shape.Count], slow = new double[shape.Count];
        for (int i = 0; i < expected.Length; i++)
        {
            expected[i] = x[At(i, shape, xs)] - (double)y[At(i, shape, ys)];
        }

        float[] result = Margins(expected.Length);
        Broadcasting.Run<SubtractOperator>(team, xs, x, ys, y, shape, result.AsSpan(8, expected.Length));
        Compare(result, expected);
        Broadcasting.Run<SubtractOperator>(xs, Wide(x), ys, Wide(y), shape, slow);
        Assert.That(slow, Is.EqualTo(expected));
    }

    [Test]
    public void Lengths_that_differ_do_not_spread()
        => Assert.That(BroadcastPlan.TryCombine(new Shape(3, 5), new Shape(4, 1), out _) || BroadcastPlan.TryCombine(new Shape(3), new Shape(2), out _), Is.False);

    private static Shape Parse(string axes) => axes.Length == 0 ? new Shape() : new Shape(Array.ConvertAll(axes.Split(','), int.Parse));

    private static int At(int index, Shape shape, Shape operand)
    {
        int at = 0, stride = 1;
        for (int i = 1; i <= shape.Rank; i++)
        {
            (index, int coordinate) = Math.DivRem(index, shape[-i]);
            if (i <= operand.Rank && operand[-i] != 1)
            {
                at += coordinate * stride;
                stride *= operand[-i];
            }
        }

        return at;
    }

    [Test]
    public void Derivatives_agree_with_central_differences()
    {
        Derivative(new ReluOperator(), new ReluBackwardOperator());
        Derivative(new AbsOperator(), new AbsBackwardOperator());
        Derivative(new SquareOperator(), new SquareBackwardOperator());
        Derivative(new ErfOperator(), new ErfBackwardOperator());
        Derivative(new SiluOperator(), new SiluBackwardOperator());
        Derivative(new GeluErfOperator(), new GeluErfBackwardOperator());
        Derivative(new GeluTanhOperator(), new GeluTanhBackwardOperator());
        Derivative(new QuickGeluOperator(), new QuickGeluBackwardOperator());
        Derivative(new ReluSquaredOperator(), new ReluSquaredBackwardOperator());
        Derivative(new SoftplusOperator(), new SoftplusBackwardOperator());
        Derivative(new LogSigmoidOperator(), new LogSigmoidBackwardOperator());
        Derivative(new MishOperator(), new MishBackwardOperator());
        Derivative(new HardSwishOperator(), new HardSwishBackwardOperator());
        Derivative(new LeakyReluOperator(0.01), new LeakyReluBackwardOperator(0.01));
        Derivative(new EluOperator(1.5), new EluBackwardOperator(1.5));
        Derivative(new LogOperator(), new LogBackwardOperator(), positive: true);
        Derivative(new TanhOperator(), new TanhBackwardOperator(), ofResult: true);
        Derivative(new SigmoidOperator(), new SigmoidBackwardOperator(), ofResult: true);
        Derivative(new SqrtOperator(), new SqrtBackwardOperator(), ofResult: true, positive: true);
        Derivative(new RsqrtOperator(), new RsqrtBackwardOperator(), ofResult: true, positive: true);
    }

    private static void Derivative<TForward, TBackward>(TForward forward, TBackward backward, bool ofResult = false, bool positive = false)
        where TForward : struct, IUnaryOperator
        where TBackward : struct, IBinaryOperator
    {
        const double H = 1e-6;
        double F(double v) => forward.Invoke(new LanesDouble(v)).Value;
        for (double x = positive ? 0.1 : -6.03; x < 6; x += 0.0917)
        {
            double slope = 1.7 * (F(x + H) - F(x - H)) / (2 * H);
            double at = ofResult ? F(x) : x;
            double exact = backward.Invoke(new LanesDouble(at), new LanesDouble(1.7)).Value;
            float single = backward.Invoke(new LanesScalar((float)at), new LanesScalar(1.7f)).Value;
            Assert.That(exact, Is.EqualTo(slope).Within(1e-8 * Math.Max(1, Math.Abs(slope))), $"{typeof(TBackward).Name} at {x}");
            Assert.That(single, Is.EqualTo(exact).Within(3e-6 * Math.Max(1, Math.Abs(exact))), $"{typeof(TBackward).Name} in F32 at {x}");
        }
    }

    internal static float[] Numbers(int n, ulong stream)
    {
        float[] values = new float[n];
        new Rng(stream).FillNormal(0, values);
        return values;
    }

    internal static double[] Wide(float[] values) => Array.ConvertAll(values, v => (double)v);

    private static float[] Margins(int n)
    {
        float[] values = new float[n + 16];
        Array.Fill(values, float.MaxValue);
        return values;
    }

    private static void Compare(float[] result, double[] expected)
    {
        for (int i = 0; i < 8; i++)
        {
            Assert.That((result[i], result[^(i + 1)]), Is.EqualTo((float.MaxValue, float.MaxValue)), "written beside the result");
        }

        for (int i = 0; i < expected.Length; i++)
        {
            if (!(Math.Abs(result[i + 8] - expected[i]) <= 2e-6 * Math.Max(1, Math.Abs(expected[i]))))
            {
                Assert.Fail($"element {i} of {expected.Length}: {result[i + 8]:R} for {expected[i]:R}");
            }
        }
    }
}
