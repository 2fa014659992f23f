using Graft.Models.Adapters;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>One trained gain per output channel: y = g⊙(x·Wᵀ + b).</summary>
public sealed record OutputGainConfig : AdapterConfig
{
    /// <summary>Where all gains start; 1 leaves the base as it is.</summary>
    public float Start { get; init; } = 1;
}

/// <summary>The method on one layer. g (out) is all it has; no rank, no scaling.</summary>
public sealed class OutputGain : IAdapter
{
    private readonly AdapterParameter _gain;

    private OutputGain(AdapterParameter gain)
    {
        _gain = gain;
        Parameters = [gain];
    }

    /// <summary>The row: its name, its type and prefix on disk, its options from and to a file, how one is made.</summary>
    public static AdapterRow Row { get; } = AdapterRow.Of<OutputGainConfig>(
        "output-gain", "OUTPUT_GAIN", "output_gain",
        read: keys => new OutputGainConfig { Start = (float)keys.Number("start", 1) },
        write: (config, json) => json["start"] = config.Start,
        create: Create) with
    { HasDropout = false };

    /// <inheritdoc/>
    public IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <inheritdoc/>
    public Tensor Forward(LinearCall c) => c.Tape.Mul(c.Inner(c.Input), _gain.Value);

    /// <inheritdoc/>
    public Tensor Merged(Tape t, Tensor weight) => t.Mul(weight, t.View(_gain.Value, new Shape(_gain.Value.Shape[0], 1)));

    /// <inheritdoc/>
    public Tensor? MergedBias(Tape t, Tensor? bias) => bias is null ? null : t.Mul(bias, _gain.Value);

    private static OutputGain Create(AdapterSite site, OutputGainConfig config)
    {
        AdapterParameter gain = site.Parameter("output_gain", new Shape(site.Linear.Out), AdapterRole.Gate);
        float[] start = new float[site.Linear.Out];
        Array.Fill(start, config.Start);
        gain.Value.CopyFrom<float>(start);
        return new OutputGain(gain);
    }
}
