namespace Graft.Runtime.Tests.Tables;

/// <summary>What an input of a row looks like: its dtype and how its elements are drawn. Floats are differentiated unless <see cref="Fixed"/>.</summary>
internal sealed record Given(DType Type, Func<Rng, Shape[], int, double[]> Draw, bool Differentiated)
{
    /// <summary>Standard normal numbers.</summary>
    public static Given F32 { get; } = Of(DType.F32, (rng, count) => Normal(rng, count));

    /// <summary>Standard normal numbers rounded to BF16; the gradient is F32.</summary>
    public static Given BF16 { get; } = Of(DType.BF16, (rng, count) => Normal(rng, count));

    /// <summary>Standard normal numbers rounded to F16; the gradient is F32.</summary>
    public static Given F16 { get; } = Of(DType.F16, (rng, count) => Normal(rng, count));

    /// <summary>Numbers from 1/2 to 3/2, for logarithms, roots and divisors.</summary>
    public static Given Positive { get; } = Between(0.5f, 1.5f);

    /// <summary>True with probability 0.7.</summary>
    public static Given Mask { get; } = Of(DType.Bool, (rng, count) => Integers(rng, count, 10, x => x < 7 ? 1 : 0));

    /// <summary>Uniform numbers.</summary>
    public static Given Between(float low, float high) => Of(DType.F32, (rng, count) =>
    {
        float[] x = new float[count];
        rng.FillUniform(0, x, low, high);
        return Array.ConvertAll(x, v => (double)v);
    });

    /// <summary>I32 numbers from 0 to bound - 1, with repetitions.</summary>
    public static Given Below(int bound) => Of(DType.I32, (rng, count) => Integers(rng, count, bound, x => x));

    /// <summary>I32 indices into an axis of another input, with repetitions.</summary>
    public static Given Index(int input, int axis) =>
        new(DType.I32, (rng, shapes, self) => Integers(rng, (int)shapes[self].Count, shapes[input][axis], x => x), false);

    /// <summary>F32 numbers with many equal ones: 0 to values - 1.</summary>
    public static Given Ties(int values) => Of(DType.F32, (rng, count) => Integers(rng, count, values, x => x)) with { Differentiated = false };

    /// <summary>Any elements: the function is given a stream and the number of elements.</summary>
    public static Given Of(DType type, Func<Rng, int, double[]> draw) =>
        new(type, (rng, shapes, self) => draw(rng, (int)shapes[self].Count), type.IsFloat());

    /// <summary>U8 bytes of a quantised matrix: random codes, scales and minima of normal size.</summary>
    public static Given Blocks(BlockType type) => Of(DType.U8, (rng, count) =>
    {
        double[] bytes = Integers(rng, count, 256, x => x);
        int halves = type == BlockType.Q41 ? 2 : 1;
        for (int at = 0; at < count; at += type.BlockBytes())
        {
            for (int i = 0; i < halves; i++)
            {
                ushort bits = BitConverter.HalfToUInt16Bits((Half)(((bytes[at + (2 * i)] - 128) / 1024) + (i * 0.01)));
                (bytes[at + (2 * i)], bytes[at + (2 * i) + 1]) = (bits & 255, bits >> 8);
            }
        }

        return bytes;
    });

    /// <summary>The same input without a gradient.</summary>
    public Given Fixed() => this with { Differentiated = false };

    /// <summary>The elements as doubles, rounded to the dtype.</summary>
    public double[] Elements(Rng rng, Shape[] shapes, int self)
    {
        double[] values = Draw(rng, shapes, self);
        return Type switch
        {
            DType.F32 => Array.ConvertAll(values, v => (double)(float)v),
            DType.BF16 => Array.ConvertAll(values, v => (double)(float)(BFloat16)(float)v),
            DType.F16 => Array.ConvertAll(values, v => (double)(Half)v),
            _ => values,
        };
    }

    private static double[] Normal(Rng rng, int count)
    {
        float[] x = new float[count];
        rng.FillNormal(0, x);
        return Array.ConvertAll(x, v => (double)v);
    }

    private static double[] Integers(Rng rng, int count, int bound, Func<int, double> map)
    {
        double[] x = new double[count];
        for (int i = 0; i < count; i++)
        {
            x[i] = map(rng.Below(i, bound));
        }

        return x;
    }
}

/// <summary>How far a result may be from the F64 reference: times the largest magnitude of the expected tensor, at least 1.</summary>
internal sealed record Tolerance(double F32 = 1e-6, double Gradient = 5e-6)
{
    /// <summary>Ops that move elements: nothing may change.</summary>
    public static Tolerance Exact { get; } = new(0, 1e-6);
}
