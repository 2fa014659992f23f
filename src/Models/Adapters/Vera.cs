using System.Globalization;
using System.Text.Json.Nodes;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>VeRA: one frozen random pair for all layers, two trained vectors per layer. Kopiczko et al. 2023, arXiv:2310.11454.</summary>
public sealed record VeraConfig : AdapterConfig
{
    /// <summary>PEFT's defaults.</summary>
    public VeraConfig()
    {
        Rank = 256;
    }

    /// <summary>Where d starts; λ starts at zero.</summary>
    public float InitialD { get; init; } = 0.1f;

    /// <summary>Recorded in files; the pair itself is always saved, since no two runtimes draw the same numbers.</summary>
    public int ProjectionKey { get; init; }

    internal static VeraConfig Read(PeftKeys keys)
    {
        _ = keys.Flag("fan_in_fan_out", false);
        _ = keys.FlagOrText("init_weights", "true");
        if (!keys.Flag("save_projection", true))
        {
            throw keys.Error("save_projection", "leaves the projections out of the file, and PyTorch's generator is not imitated here: save the "
                + "adapter again with save_projection");
        }

        return new VeraConfig { InitialD = (float)keys.Number("d_initial", 0.1), ProjectionKey = keys.Int("projection_prng_key", 0) };
    }

    internal static void Write(VeraConfig config, JsonObject json)
    {
        json["d_initial"] = PeftConfig.Number(config.InitialD);
        json["projection_prng_key"] = config.ProjectionKey;
        json["save_projection"] = true;
        json["init_weights"] = true;
    }
}

/// <summary>y = base(x) + λ⊙((d⊙(x·A_lᵀ))·B_lᵀ), A_l and B_l being the leading columns and rows of the shared pair A (R, in_max), B (out_max, R).</summary>
/// <remarks>
/// d (R), λ (out). λ is taken into B before the product (out·R multiplications), so that the term is added in the base's own pass and only u = x·Aᵀ (N, R) is
/// saved, neither x nor an (N, out) product.
/// Costs 2N·R·(in + out) flop forward; the pair takes R·(in_max + out_max) numbers once per model, and one copy of A per narrower input width.
/// </remarks>
public sealed class Vera : IAdapter
{
    private const string KeyA = "vera_A";
    private const string KeyB = "vera_B";

    private readonly AdapterSite _site;
    private readonly AdapterParameter _a;
    private readonly AdapterParameter _b;
    private readonly AdapterParameter _d;
    private readonly AdapterParameter _lambda;
    private readonly float _dropout;

    private Vera(AdapterSite site, VeraConfig config)
    {
        _site = site;
        _dropout = config.Dropout;
        AdapterGroup group = site.Group;
        int inputs = group.Linears.Max(l => l.In);
        int outputs = group.Linears.Max(l => l.Out);
        Rng random = group.Random;
        _a = group.SharedParameter(KeyA, new Shape(site.Rank, inputs), t => Draw.Uniform(t, random.Stream(KeyA), Math.Sqrt(6.0 / inputs)));
        _b = group.SharedParameter(KeyB, new Shape(outputs, site.Rank), t => Draw.Uniform(t, random.Stream(KeyB), Math.Sqrt(6.0 / site.Rank)));
        _lambda = site.Parameter("vera_lambda_b", new Shape(site.Linear.Out), AdapterRole.Gate);
        _d = site.Parameter("vera_lambda_d", new Shape(site.Rank), AdapterRole.Gate);
        Draw.Constant(_d.Value, config.InitialD);
        Parameters = [_lambda, _d];
    }

    /// <inheritdoc/>
    public IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <summary>Two vectors, and the shared pair where no other layer has made it yet.</summary>
    /// <exception cref="ConfigurationException">A rank of its own: the pair is shared.</exception>
    public static Vera Create(AdapterSite site, VeraConfig config)
    {
        ArgumentNullException.ThrowIfNull(site);
        ArgumentNullException.ThrowIfNull(config);
        return site.Rank == config.Rank
            ? new Vera(site, config)
            : throw new ConfigurationException($"vera: '{site.Module}' has the rank {site.Rank}, but all layers share one pair of rank {config.Rank}.");
    }

    /// <inheritdoc/>
    public Tensor Forward(LinearCall c)
    {
        Tape t = c.Tape;
        Tensor u = t.Linear(c.Context.Dropout(c.Input, _dropout, _site.DropoutSite), Down());
        return c.Inner(c.Input, new LowRankBranch(t.Mul(u, t.Cast(_d.Value, u.DType)), Up(t), 1));
    }

    /// <inheritdoc/>
    public Tensor Merged(Tape t, Tensor weight)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Add(weight, t.MatMul(t.Mul(Up(t), _d.Value), Down()));
    }

    /// <inheritdoc/>
    public LoraFactors ToLora()
    {
        int rank = _site.Rank;
        float[] a = Down().ToArray<float>();
        float[] b = new float[_site.Linear.Out * rank];
        _b.Value.CopyTo(b.AsSpan());
        ReadOnlySpan<float> d = _d.Value.OnHost<float>();
        ReadOnlySpan<float> lambda = _lambda.Value.OnHost<float>();
        for (int i = 0; i < a.Length; i++)
        {
            a[i] *= d[i / _site.Linear.In];
        }

        for (int i = 0; i < b.Length; i++)
        {
            b[i] *= lambda[i / rank];
        }

        return new LoraFactors(rank, 1, a, b);
    }

    // A_l (R, in): the shared one, or the one copy of its leading columns that all layers of this width use.
    private Tensor Down()
    {
        int inputs = _site.Linear.In;
        return inputs == _a.Value.Shape[1] ? _a.Value
            : _site.Group.Derived(string.Create(CultureInfo.InvariantCulture, $"{KeyA}[:, :{inputs}]"), t => t.Slice(_a.Value, 1, 0, inputs));
    }

    // diag(λ)·B_l (out, R); the leading rows are a view.
    private Tensor Up(Tape t)
    {
        int outputs = _site.Linear.Out;
        return t.Mul(t.View(_b.Value, new Shape(outputs, _site.Rank)), t.View(_lambda.Value, new Shape(outputs, 1)));
    }
}
