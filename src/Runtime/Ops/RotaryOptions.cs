namespace Graft.Runtime;

/// <summary>How rotary position embeddings are stretched beyond the trained length; the names are those of `rope_type`.</summary>
public enum RotaryScaling
{
    /// <summary>Not at all.</summary>
    None,

    /// <summary>All frequencies over the factor (Chen et al. 2023, arXiv:2306.15595).</summary>
    Linear,

    /// <summary>A base that grows with sequences longer than <see cref="RotaryOptions.MaxPositions"/> ("dynamic NTK").</summary>
    Dynamic,

    /// <summary>Low frequencies over the factor, high ones kept, a ramp between (Peng et al. 2023, arXiv:2309.00071).</summary>
    Yarn,

    /// <summary>One factor per frequency, another set for sequences beyond the original length (Ding et al. 2024, arXiv:2402.13753).</summary>
    LongRope,

    /// <summary>Llama 3.1's: long wavelengths over the factor, short ones kept, those between blended.</summary>
    Llama3,
}

/// <summary>Settings of rotary position embeddings; names as in `config.json`, defaults of transformers.</summary>
/// <param name="RotatedSize">R, how many numbers of a head are rotated: the head size unless rotation is partial; even.</param>
/// <param name="Theta">The base of the wavelengths.</param>
public sealed record RotaryOptions(int RotatedSize, double Theta = 10000)
{
    /// <summary>The kind of stretching.</summary>
    public RotaryScaling Scaling { get; init; }

    /// <summary>By how much.</summary>
    public double Factor { get; init; } = 1;

    /// <summary>Llama 3: wavelengths above the original length over this are stretched fully.</summary>
    public double LowFrequencyFactor { get; init; } = 1;

    /// <summary>Llama 3: wavelengths below the original length over this are kept.</summary>
    public double HighFrequencyFactor { get; init; } = 4;

    /// <summary>The length that the model was first trained on; <see cref="MaxPositions"/> where zero.</summary>
    public int OriginalMaxPositions { get; init; }

    /// <summary>`max_position_embeddings`.</summary>
    public int MaxPositions { get; init; }

    /// <summary>YaRN: rotations over the original length above which a frequency is kept.</summary>
    public double BetaFast { get; init; } = 32;

    /// <summary>YaRN: rotations over the original length below which a frequency is stretched fully.</summary>
    public double BetaSlow { get; init; } = 1;

    /// <summary>YaRN: rounds the ends of the ramp to whole frequencies.</summary>
    public bool Truncate { get; init; } = true;

    /// <summary>YaRN: weight of the attention factor's logarithm; 0 for none.</summary>
    public double MScale { get; init; }

    /// <summary>YaRN: the same for the divisor; 0 for none.</summary>
    public double MScaleAllDimensions { get; init; }

    /// <summary>YaRN and LongRoPE: what cosines and sines are multiplied by; null to work it out.</summary>
    public double? AttentionFactor { get; init; }

    /// <summary>LongRoPE: R/2 factors for sequences up to the original length.</summary>
    public IReadOnlyList<double> ShortFactors { get; init; } = [];

    /// <summary>LongRoPE: R/2 factors for longer ones.</summary>
    public IReadOnlyList<double> LongFactors { get; init; } = [];
}
