namespace Graft.Runtime.Tests.RandomNumbers;

public class RngTests
{
    private static readonly Rng s_rng = new Rng(7).Stream("lora.q_proj.A").At(3);

    [TestCase(0, 1)]
    [TestCase(0, 31)]
    [TestCase(1, 32)]
    [TestCase(2, 33)]
    [TestCase(3, 127)]
    [TestCase(511, 1030)]
    [TestCase(17_179_869_181, 9)] // block numbers beyond 32 bits
    public void Every_element_is_the_same_alone_and_in_any_fill(long first, int count)
    {
        uint[] bits = new uint[count];
        float[] uniform = new float[count];
        float[] normal = new float[count];
        s_rng.FillBits(first, bits);
        s_rng.FillUniform(first, uniform);
        s_rng.FillNormal(first, normal);
        for (int i = 0; i < count; i++)
        {
            Assert.That(bits[i], Is.EqualTo(s_rng.Bits(first + i)), $"bits of element {first + i}");
            Assert.That(uniform[i], Is.EqualTo(s_rng.Uniform(first + i)), $"uniform of element {first + i}");
            Assert.That(normal[i], Is.EqualTo(s_rng.Normal(first + i)), $"normal of element {first + i}");
        }
    }

    [Test]
    public void The_numbers_of_a_stream_are_pinned()
    {
        // Written down from the first version: a change of these breaks the resuming of every older run.
        Assert.That(new Rng(0).Bits(0), Is.EqualTo(Pinned.SeedZero));
        Assert.That(s_rng.Bits(5), Is.EqualTo(Pinned.Named));
        Assert.That(BitConverter.SingleToUInt32Bits(s_rng.Normal(5)), Is.EqualTo(Pinned.Normal));
        Assert.That(s_rng.Permutation(8), Is.EqualTo(Pinned.Order));
    }

    [Test]
    public void Seed_name_and_step_each_change_the_numbers()
    {
        Rng[] streams =
        [
            new(7), new(8), new Rng(7).Stream("a"), new Rng(7).Stream("b"), new Rng(7).Stream("a").At(1), new Rng(7).Stream("a").At(-1),
            new Rng(7).Stream("ab"),
            new Rng(7).Stream("a").Stream("b"), new Rng(0), default,
        ];
        Assert.That(streams.Select(s => s.Bits64(0)).Distinct().Count(), Is.EqualTo(streams.Length));
    }

    [Test]
    public void A_stream_of_a_stream_has_a_path_as_name() =>
        Assert.That(new Rng(7).Stream("a").Stream("b").Bits(0), Is.EqualTo(new Rng(7).Stream("a/b").Bits(0)));

    [Test]
    public void A_name_and_an_element_must_be_there()
    {
        Assert.That(() => s_rng.Stream(""), Throws.ArgumentException);
        Assert.That(() => s_rng.Bits(-1), Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(() => s_rng.FillNormal(-1, new float[2]), Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(() => s_rng.Below(0, 0), Throws.InstanceOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void Uniform_numbers_have_the_moments_and_range_of_the_distribution()
    {
        float[] x = new float[1 << 20];
        s_rng.FillUniform(0, x, -3, 5);
        Assert.That(x.Min(), Is.InRange(-3f, -2.999f));
        Assert.That(x.Max(), Is.InRange(4.999f, 5f));
        (double mean, double variance, _, _) = Moments(x);
        Assert.That(mean, Is.EqualTo(1).Within(5 * Math.Sqrt(64.0 / 12 / x.Length)));
        Assert.That(variance, Is.EqualTo(64.0 / 12).Within(0.03));
    }

    [Test]
    public void Normal_numbers_have_the_moments_of_the_distribution()
    {
        float[] x = new float[1 << 20];
        s_rng.FillNormal(1, x, 2, 0.5f);
        (double mean, double variance, double skew, double kurtosis) = Moments(x);
        Assert.That(mean, Is.EqualTo(2).Within(0.0025)); // five standard errors each
        Assert.That(variance, Is.EqualTo(0.25).Within(0.0018));
        Assert.That(skew, Is.Zero.Within(0.012));
        Assert.That(kurtosis, Is.EqualTo(3).Within(0.024));
    }

    [Test]
    public void Normal_numbers_follow_the_formula_computed_in_doubles()
    {
        double worst = 0;
        for (long j = 0; j < 100_000; j++)
        {
            double u = ((s_rng.Bits(2 * j) >> 8) + 1) / 16777216.0;
            double v = (s_rng.Bits((2 * j) + 1) >> 8) / 16777216.0;
            double r = Math.Sqrt(-2 * Math.Log(u));
            worst = Math.Max(worst, Math.Abs(s_rng.Normal(2 * j) - (r * Math.Cos(2 * Math.PI * v))));
            worst = Math.Max(worst, Math.Abs(s_rng.Normal((2 * j) + 1) - (r * Math.Sin(2 * Math.PI * v))));
        }

        Assert.That(worst, Is.LessThan(1e-6)); // two or three ulps of the largest magnitudes
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(1000)]
    public void A_permutation_holds_each_entry_once(int n) =>
        Assert.That(s_rng.Permutation(n).Order(), Is.EqualTo(Enumerable.Range(0, n)));

    [Test]
    public void Every_permutation_of_four_is_about_equally_likely()
    {
        int[] counts = Enumerable.Range(0, 24_000).Select(i => string.Concat(s_rng.At(i).Permutation(4))).GroupBy(p => p).Select(g => g.Count()).ToArray();
        Assert.That(counts, Has.Length.EqualTo(24));
        Assert.That(counts, Is.All.InRange(850, 1150)); // 1000 expected, deviation 31
    }

    [Test]
    public void A_sequence_resumes_from_its_position()
    {
        RngSequence sequence = s_rng.Sequence();
        _ = sequence.NextBelow(10);
        _ = sequence.NextUniform();
        ulong expected = s_rng.Sequence(sequence.Position).NextBits();
        Assert.That(sequence.NextBits(), Is.EqualTo(expected));
        int[] items = [.. Enumerable.Range(0, 50)];
        sequence.Shuffle(items.AsSpan());
        Assert.That(items, Is.Not.Ordered);
        Assert.That(items.Order(), Is.EqualTo(Enumerable.Range(0, 50)));
    }

    private static (double Mean, double Variance, double Skew, double Kurtosis) Moments(float[] x)
    {
        double mean = x.Average(v => (double)v);
        double variance = x.Average(v => Math.Pow(v - mean, 2));
        double skew = x.Average(v => Math.Pow(v - mean, 3)) / Math.Pow(variance, 1.5);
        return (mean, variance, skew, x.Average(v => Math.Pow(v - mean, 4)) / (variance * variance));
    }

    private static class Pinned
    {
        public const uint SeedZero = 0x0D7C5621;
        public const uint Named = 0x569E4A9B;
        public const uint Normal = 0x3F8BC72C;
        public static readonly int[] Order = [7, 4, 6, 3, 5, 0, 1, 2];
    }
}
