namespace Graft.Runtime;

/// <summary>Inverse frequencies and attention factor of each kind of <see cref="RotaryScaling"/>, by the definitions of transformers' modeling_rope_utils.</summary>
internal static class RotaryFrequencies
{
    public static (double[] Inverse, double AttentionFactor) Of(RotaryOptions options, int sequenceLength)
    {
        if (options.RotatedSize <= 0 || options.RotatedSize % 2 != 0 || !(options.Theta > 0) || !(options.Factor > 0))
        {
            throw new ConfigurationException(
                $"rotary embedding: rotated size {options.RotatedSize}, theta {options.Theta}, factor {options.Factor}: the size must be even, all must be above zero.");
        }

        double[] plain = Plain(options.Theta, options.RotatedSize);
        return options.Scaling switch
        {
            RotaryScaling.None => (plain, 1),
            RotaryScaling.Linear => (Array.ConvertAll(plain, f => f / options.Factor), 1),
            RotaryScaling.Dynamic => (Dynamic(options, sequenceLength), 1),
            RotaryScaling.Yarn => (Yarn(options, plain), options.AttentionFactor ?? YarnAttention(options)),
            RotaryScaling.LongRope => (LongRope(options, plain, sequenceLength), options.AttentionFactor ?? LongRopeAttention(options)),
            _ => (Llama3(options, plain), 1),
        };
    }

    private static double[] Plain(double theta, int size)
    {
        double[] inverse = new double[size / 2];
        for (int i = 0; i < inverse.Length; i++)
        {
            inverse[i] = Math.Pow(theta, -2.0 * i / size);
        }

        return inverse;
    }

    private static int Original(RotaryOptions options)
    {
        int length = options.OriginalMaxPositions > 0 ? options.OriginalMaxPositions : options.MaxPositions;
        return length > 0 ? length : throw new ConfigurationException($"rotary embedding: {options.Scaling} needs the original number of positions.");
    }

    private static double[] Dynamic(RotaryOptions options, int sequenceLength)
    {
        if (options.MaxPositions <= 0)
        {
            throw new ConfigurationException("rotary embedding: Dynamic needs the maximum number of positions.");
        }

        double length = Math.Max(sequenceLength, options.MaxPositions);
        double stretch = (options.Factor * length / options.MaxPositions) - (options.Factor - 1);
        return Plain(options.Theta * Math.Pow(stretch, options.RotatedSize / (options.RotatedSize - 2.0)), options.RotatedSize);
    }

    private static double[] Llama3(RotaryOptions options, double[] plain)
    {
        int original = Original(options);
        double low = options.LowFrequencyFactor, high = options.HighFrequencyFactor;
        if (!(high > low && low > 0))
        {
            throw new ConfigurationException($"rotary embedding: the high frequency factor {high} must be above the low one {low}, and that above zero.");
        }

        return Array.ConvertAll(plain, f =>
        {
            double turns = original * f / (2 * Math.PI);
            double blend = Math.Clamp((turns - low) / (high - low), 0, 1);
            return ((1 - blend) * f / options.Factor) + (blend * f);
        });
    }

    private static double[] Yarn(RotaryOptions options, double[] plain)
    {
        int original = Original(options), size = options.RotatedSize;
        double At(double turns) => size * Math.Log(original / (turns * 2 * Math.PI)) / (2 * Math.Log(options.Theta));
        double low = At(options.BetaFast), high = At(options.BetaSlow);
        if (options.Truncate)
        {
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        }

        low = Math.Max(low, 0);
        high = Math.Min(high, size - 1);
        high += low == high ? 0.001 : 0;
        double[] inverse = new double[plain.Length];
        for (int i = 0; i < inverse.Length; i++)
        {
            double stretched = Math.Clamp((i - low) / (high - low), 0, 1);
            inverse[i] = (plain[i] / options.Factor * stretched) + (plain[i] * (1 - stretched));
        }

        return inverse;
    }

    private static double YarnAttention(RotaryOptions options)
    {
        double Scale(double weight) => options.Factor <= 1 ? 1 : (0.1 * weight * Math.Log(options.Factor)) + 1;
        return options.MScale != 0 && options.MScaleAllDimensions != 0 ? Scale(options.MScale) / Scale(options.MScaleAllDimensions) : Scale(1);
    }

    private static double[] LongRope(RotaryOptions options, double[] plain, int sequenceLength)
    {
        IReadOnlyList<double> factors = sequenceLength > Original(options) ? options.LongFactors : options.ShortFactors;
        if (factors.Count != plain.Length)
        {
            throw new ConfigurationException($"rotary embedding: LongRope has {factors.Count} factors for {plain.Length} frequencies.");
        }

        double[] inverse = new double[plain.Length];
        for (int i = 0; i < inverse.Length; i++)
        {
            inverse[i] = plain[i] / factors[i];
        }

        return inverse;
    }

    private static double LongRopeAttention(RotaryOptions options)
        => options.Factor <= 1 ? 1 : Math.Sqrt(1 + (Math.Log(options.Factor) / Math.Log(Original(options))));
}
