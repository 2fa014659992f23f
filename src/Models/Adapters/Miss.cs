using System.Text.Json.Nodes;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>The three forms that PEFT keeps under one name.</summary>
public enum MissVariant
{
    /// <summary>One shard for all blocks of columns ("Bone" of the later papers, MiSS).</summary>
    Shared,

    /// <summary>W_ij + W_ij·D_i + D_i ("Bat", the first "Bone").</summary>
    Affine,

    /// <summary>A shard of few columns, repeated along the output.</summary>
    Mini,
}

/// <summary>MiSS: shards shared over blocks of the weight. Kang and Yin 2024, arXiv:2409.15371.</summary>
public sealed record MissConfig : AdapterConfig
{
    /// <summary>PEFT's defaults.</summary>
    public MissConfig()
    {
        Rank = 64;
    }

    /// <summary>The form.</summary>
    public MissVariant Variant { get; init; }

    /// <summary>Columns of the shard of <see cref="MissVariant.Mini"/>; divides the output width.</summary>
    public int MiniRank { get; init; } = 1;

    internal static MissConfig Read(PeftKeys keys)
    {
        return new MissConfig { Variant = Miss.ReadVariant(keys, "true", "bat", "mini"), MiniRank = keys.Int("mini_r", 1, 1) };
    }

    internal static void Write(MissConfig config, JsonObject json)
    {
        json["init_weights"] = Miss.Form(config.Variant);
        json["mini_r"] = config.MiniRank;
    }
}

/// <summary>Bone: the same forms under PEFT's older type and names (removed there in 0.19).</summary>
public sealed record BoneConfig : AdapterConfig
{
    /// <summary>PEFT's defaults.</summary>
    public BoneConfig()
    {
        Rank = 64;
    }

    /// <summary><see cref="MissVariant.Shared"/> or <see cref="MissVariant.Affine"/>.</summary>
    public MissVariant Variant { get; init; }

    internal static BoneConfig Read(PeftKeys keys) => new() { Variant = Miss.ReadVariant(keys, "true", "bat") };

    internal static void Write(BoneConfig config, JsonObject json) => json["init_weights"] = Miss.Form(config.Variant);
}

/// <summary>y = base(x) + (Σ_j x_j)·D, x_j being the j-th run of R inputs. D (R, out), zero at first; or (R, mini) repeated along the output. arXiv:2409.15371,
/// version 4 on.</summary>
/// <remarks>LoRA with s = 1, B = Dᵀ and A = [I I ... I] frozen. Costs N·in additions and 2N·R·out flop; saves Σ_j x_j (N, R), not x. Where R does not divide
/// the input, the last run is short.</remarks>
public sealed class Miss : IAdapter
{
    private readonly AdapterParameter _block;
    private readonly int _in;
    private readonly int _out;
    private readonly float _dropout;
    private readonly string _dropoutSite;

    private Miss(AdapterSite site, string key, int columns, float dropout)
    {
        (_in, _out, _dropout, _dropoutSite) = (site.Linear.In, site.Linear.Out, dropout, site.DropoutSite);
        _block = site.Parameter(key, new Shape(site.Rank, columns), AdapterRole.Core);
        Parameters = [_block];
    }

    /// <inheritdoc/>
    public IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <summary>A block of zeros in the configured form.</summary>
    /// <exception cref="ConfigurationException">Sizes that the form cannot divide.</exception>
    public static IAdapter Create(AdapterSite site, MissConfig config)
    {
        ArgumentNullException.ThrowIfNull(site);
        ArgumentNullException.ThrowIfNull(config);
        int outputs = site.Linear.Out;
        if (config.Variant == MissVariant.Mini && (config.MiniRank < 1 || outputs % config.MiniRank != 0))
        {
            throw new ConfigurationException($"miss: mini_r is {config.MiniRank}, which does not divide the {outputs} outputs of '{site.Module}'.");
        }

        return config.Variant == MissVariant.Affine
            ? new BlockAffine(site, "miss_block", config.Dropout)
            : new Miss(site, "miss_block", config.Variant == MissVariant.Mini ? config.MiniRank : outputs, config.Dropout);
    }

    /// <summary>The same by the older names.</summary>
    public static IAdapter Create(AdapterSite site, BoneConfig config)
    {
        ArgumentNullException.ThrowIfNull(site);
        ArgumentNullException.ThrowIfNull(config);
        return config.Variant == MissVariant.Affine ? new BlockAffine(site, "bone_block", 0)
            : config.Variant == MissVariant.Shared ? new Miss(site, "bone_block", site.Linear.Out, 0)
            : throw new ConfigurationException("bone: the form 'mini' exists for miss only.");
    }

    /// <inheritdoc/>
    public Tensor Forward(LinearCall c)
    {
        Tape t = c.Tape;
        Tensor sums = ShardSums(t, c.Context.Dropout(c.Input, _dropout, _dropoutSite));
        return c.Inner(c.Input, new LowRankBranch(sums, Up(t), 1));
    }

    /// <inheritdoc/>
    public Tensor Merged(Tape t, Tensor weight)
    {
        ArgumentNullException.ThrowIfNull(t);
        Tensor up = Up(t); // (out, R)
        int rank = up.Shape[1];
        Tensor[] parts = new Tensor[(_in + rank - 1) / rank];
        Array.Fill(parts, up);
        Tensor tiled = parts.Length == 1 ? up : t.Concat(1, parts);
        return t.Add(weight, tiled.Shape[1] == _in ? tiled : t.Slice(tiled, 1, 0, _in));
    }

    /// <inheritdoc/>
    public LoraFactors ToLora()
    {
        int rank = _block.Value.Shape[0];
        int columns = _block.Value.Shape[1];
        float[] block = _block.Value.ToArray<float>();
        float[] a = new float[rank * _in];
        float[] b = new float[_out * rank];
        for (int j = 0; j < _in; j++)
        {
            a[(j % rank * _in) + j] = 1;
        }

        for (int i = 0; i < _out; i++)
        {
            for (int k = 0; k < rank; k++)
            {
                b[(i * rank) + k] = block[(k * columns) + (i % columns)];
            }
        }

        return new LoraFactors(rank, 1, a, b);
    }

    internal static MissVariant ReadVariant(PeftKeys keys, params ReadOnlySpan<string> forms)
    {
        string form = keys.FlagOrText("init_weights", "true");
        return forms.Contains(form)
            ? form switch { "bat" => MissVariant.Affine, "mini" => MissVariant.Mini, _ => MissVariant.Shared }
            : throw keys.Error("init_weights", $"is not known; known are {string.Join(", ", forms.ToArray())}");
    }

    internal static JsonValue Form(MissVariant variant)
    {
        return variant switch { MissVariant.Affine => JsonValue.Create("bat")!, MissVariant.Mini => JsonValue.Create("mini")!, _ => JsonValue.Create(true) };
    }

    // Dᵀ (out, R); the columns of a mini shard are repeated.
    private Tensor Up(Tape t)
    {
        Tensor up = t.Transpose(_block.Value);
        if (up.Shape[0] == _out)
        {
            return up;
        }

        Tensor[] copies = new Tensor[_out / up.Shape[0]];
        Array.Fill(copies, up);
        return t.Concat(0, copies);
    }

    // (..., in) to (N, R): the sum of the runs of R, the last one as if padded with zeros.
    private Tensor ShardSums(Tape t, Tensor x)
    {
        int rank = _block.Value.Shape[0];
        int rows = checked((int)x.Shape.Rows);
        int whole = _in / rank;
        int rest = _in % rank;
        Tensor flat = t.View(x, new Shape(rows, _in));
        if (rest == 0)
        {
            return t.Sum(t.View(flat, new Shape(rows, whole, rank)), 1);
        }

        Tensor zeros = t.Arena.Zeros(new Shape(rows, rank - rest), x.DType, MemoryCategory.Activations);
        Tensor tail = t.Concat(1, t.Slice(flat, 1, whole * rank, rest), zeros);
        return whole == 0 ? tail : t.Add(tail, t.Sum(t.View(t.Slice(flat, 1, 0, whole * rank), new Shape(rows, whole, rank)), 1));
    }
}

/// <summary>y = x·W'ᵀ + b with W'_ij = W_ij + W_ij·D_i + D_i over blocks of R by R. D (out/R, R, R), zero at first. arXiv:2409.15371, versions 1 to
/// 3.</summary>
/// <remarks>W' is made in every forward: 2·out·in·R flop and an (out, in) temporary, and backward makes the full gradient of W'. On top of another adapter it
/// adds x·(W' − W)ᵀ.</remarks>
public sealed class BlockAffine : IAdapter
{
    private readonly AdapterParameter _block;
    private readonly Linear _target;

    internal BlockAffine(AdapterSite site, string key, float dropout)
    {
        _target = site.Linear;
        if (_target.Out % site.Rank != 0 || _target.In % site.Rank != 0)
        {
            throw new ConfigurationException($"'{site.Module}' ({_target.Out}, {_target.In}) cannot be cut into blocks of {site.Rank}; choose a "
                + "rank that divides both.");
        }

        if (dropout != 0)
        {
            throw new ConfigurationException($"miss: the affine form has no dropout, but {dropout} was given.");
        }

        _block = site.Parameter(key, new Shape(_target.Out / site.Rank, site.Rank, site.Rank), AdapterRole.Core);
        Parameters = [_block];
    }

    /// <inheritdoc/>
    public IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <inheritdoc/>
    public Tensor Forward(LinearCall c)
    {
        Tape t = c.Tape;
        Tensor weight = c.Target.Weight.Dense(t);
        Tensor delta = Delta(t, weight);
        if (!c.IsInnermost)
        {
            return t.Add(c.Inner(c.Input), t.Linear(c.Input, delta));
        }

        // In the base's own layout, so that D = 0 gives the base's own bits.
        bool inputFirst = c.Target.Weight is DenseWeight { InputFirst: true };
        Tensor effective = t.Add(weight, delta);
        return t.Linear(c.Input, inputFirst ? t.Transpose(effective) : effective, c.Target.Bias?.Value, inputFirst);
    }

    /// <inheritdoc/>
    public Tensor Merged(Tape t, Tensor weight)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Add(weight, Delta(t, _target.Weight.Dense(t)));
    }

    // W·D + D block by block (out, in): row block i of W is in/R·R rows of length R, all multiplied by D_i.
    private Tensor Delta(Tape t, Tensor weight)
    {
        int blocks = _block.Value.Shape[0];
        int rank = _block.Value.Shape[1];
        int columns = _target.In / rank;
        Tensor product = t.MatMul(t.View(weight, new Shape(blocks, rank * columns, rank)), _block.Value);
        Tensor sum = t.Add(t.View(product, new Shape(blocks, rank, columns, rank)), t.View(_block.Value, new Shape(blocks, rank, 1, rank)));
        return t.View(sum, new Shape(_target.Out, _target.In));
    }
}
