using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>y = base(x) + s·(x·Aᵀ)·Bᵀ (+ s·β). Hu et al. 2021, arXiv:2106.09685.</summary>
/// <remarks>A (R, in), B (out, R), β (out) with `lora_bias`. Costs 2N·R·(in + out) flop beyond the base; the second product is added in the base's own pass.
/// Saves x and u (N, R).</remarks>
public sealed class Lora : IAdapter
{
    private readonly LowRankPair _pair;
    private readonly AdapterParameter? _bias;

    private Lora(LowRankPair pair, AdapterParameter? bias)
    {
        _pair = pair;
        _bias = bias;
        Parameters = bias is null ? [pair.A, pair.B] : [pair.A, pair.B, bias];
    }

    /// <inheritdoc/>
    public IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <summary>A pair of the site's rank; B is zero unless the configuration says otherwise.</summary>
    public static Lora Create(AdapterSite site, LoraConfig config)
    {
        ArgumentNullException.ThrowIfNull(site);
        ArgumentNullException.ThrowIfNull(config);
        LowRankPair pair = LowRankPair.Create(site, config, LowRankPair.Scaling(site, config.RankStabilized), config.Initialization);
        return new Lora(pair, config.LoraBias ? site.Parameter("lora_B.bias", new Shape(site.Linear.Out), AdapterRole.Bias) : null);
    }

    /// <inheritdoc/>
    public Tensor Forward(LinearCall c)
    {
        Tensor y = c.Inner(c.Input, _pair.Branch(c.Tape, _pair.Input(c)));
        return _bias is null ? y : c.Tape.Add(y, c.Tape.Cast(c.Tape.Scale(_bias.Value, _pair.Scale), y.DType));
    }

    /// <inheritdoc/>
    public Tensor Merged(Tape t, Tensor weight)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Add(weight, _pair.Delta(t));
    }

    /// <inheritdoc/>
    public Tensor? MergedBias(Tape t, Tensor? bias)
    {
        ArgumentNullException.ThrowIfNull(t);
        return _bias is null ? bias
            : bias is null ? throw new NotMergeableException($"{_bias.Parameter.Name}: the layer has no bias that the adapter's bias could be added to.")
            : t.Add(bias, t.Scale(_bias.Value, _pair.Scale));
    }

    /// <inheritdoc/>
    public LoraFactors? ToLora() => _bias is null ? _pair.ToFactors() : null;
}

/// <summary>LoRA on a table: y = E[t] + s·B·A[:, t].</summary>
/// <remarks>A (R, V) zero at first, B (C, R) normal.</remarks>
public sealed class LoraEmbedding : IEmbeddingAdapter
{
    private readonly AdapterParameter _a;
    private readonly AdapterParameter _b;
    private readonly double _scale;

    private LoraEmbedding(AdapterSite site, double scale)
    {
        Shape table = site.Embedding.Weight.Shape;
        _a = site.Parameter("lora_embedding_A", new Shape(site.Rank, table[0]), AdapterRole.Down);
        _b = site.Parameter("lora_embedding_B", new Shape(table[1], site.Rank), AdapterRole.Up);
        _scale = scale;
        Parameters = [_a, _b];
    }

    /// <inheritdoc/>
    public IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <summary>A pair of the site's rank.</summary>
    public static LoraEmbedding Create(AdapterSite site, LoraConfig config)
    {
        ArgumentNullException.ThrowIfNull(site);
        ArgumentNullException.ThrowIfNull(config);
        LoraEmbedding adapter = new(site, LowRankPair.Scaling(site, config.RankStabilized));
        Initialize(site, adapter._b);
        return adapter;
    }

    /// <inheritdoc/>
    public Tensor Forward(EmbeddingCall c) => c.Tape.Add(c.Inner(), Delta(c.Tape, c.Ids, _a, _b, _scale));

    /// <inheritdoc/>
    public Tensor Merged(Tape t, Tensor weight)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Add(weight, t.Scale(t.MatMul(_a.Value, _b.Value, transposeA: true, transposeB: true), _scale));
    }

    internal static void Initialize(AdapterSite site, AdapterParameter b)
    {
        if (!site.Group.FromFile)
        {
            Draw.Normal(b.Value, site.Random.Stream("lora_embedding_B"), 1);
        }
    }

    /// <summary>s·B·A[:, t] for each id: (..., C).</summary>
    internal static Tensor Delta(Tape t, Tensor ids, AdapterParameter a, AdapterParameter b, double scale)
    {
        Tensor u = t.Embedding(t.Transpose(a.Value), ids); // (..., R)
        return t.Scale(t.Linear(u, b.Value), scale);
    }
}
