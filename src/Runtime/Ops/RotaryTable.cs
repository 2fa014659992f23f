namespace Graft.Runtime;

/// <summary>Cosines and sines of rotary position embeddings for positions 0 to P - 1.</summary>
/// <remarks>Angles are products in F32 of the position and an F32 inverse frequency, as the models were trained with; their cosines and sines are exact.</remarks>
public sealed class RotaryTable
{
    private RotaryTable(Tensor cos, Tensor sin, double[] inverseFrequencies, double attentionFactor)
    {
        Cos = cos;
        Sin = sin;
        InverseFrequencies = inverseFrequencies;
        AttentionFactor = attentionFactor;
    }

    /// <summary>Cosines times the attention factor, (P, R/2) F32.</summary>
    public Tensor Cos { get; }

    /// <summary>Sines times the attention factor, (P, R/2) F32.</summary>
    public Tensor Sin { get; }

    /// <summary>Radians per position, (R/2).</summary>
    public IReadOnlyList<double> InverseFrequencies { get; }

    /// <summary>What scales both tables; 1 but for YaRN and LongRoPE.</summary>
    public double AttentionFactor { get; }

    /// <summary>Positions in the table.</summary>
    public int Positions => Cos.Shape[0];

    /// <summary>The table of positions 0 to <paramref name="positions"/> - 1; that is also the sequence length by which some forms of stretching choose their frequencies.</summary>
    /// <exception cref="ConfigurationException">The options cannot be run.</exception>
    public static RotaryTable Create(Arena arena, RotaryOptions options, int positions)
    {
        ArgumentNullException.ThrowIfNull(arena);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegative(positions);
        (double[] inverse, double factor) = RotaryFrequencies.Of(options, positions);
        Shape shape = new(positions, inverse.Length);
        Tensor cos = arena.Allocate(shape, DType.F32, MemoryCategory.Weights, "rotary cos");
        Tensor sin = arena.Allocate(shape, DType.F32, MemoryCategory.Weights, "rotary sin");
        if (arena.Device.Kind != DeviceKind.Meta)
        {
            float[] c = new float[shape.Count], s = new float[shape.Count];
            for (int i = 0; i < c.Length; i++)
            {
                float angle = i / inverse.Length * (float)inverse[i % inverse.Length];
                c[i] = (float)(Math.Cos(angle) * factor);
                s[i] = (float)(Math.Sin(angle) * factor);
            }

            cos.CopyFrom<float>(c);
            sin.CopyFrom<float>(s);
        }

        return new RotaryTable(cos, sin, inverse, factor);
    }
}
