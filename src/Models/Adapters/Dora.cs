using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>DoRA: LoRA on the direction of each weight row, and a trained magnitude. Liu et al. 2024, arXiv:2402.09353.</summary>
public sealed record DoraConfig : AdapterConfig
{
    /// <summary>PEFT's defaults.</summary>
    public DoraConfig()
    {
        (Rank, Alpha) = (8, 8);
    }

    /// <summary>Scales by alpha / √R in place of alpha / R.</summary>
    public bool RankStabilized { get; init; }

    /// <summary>How A and B start.</summary>
    public LoraInitialization Initialization { get; init; }
}

/// <summary>y = c⊙(x·W0ᵀ + s·(x·Aᵀ)·Bᵀ) + b with c = m / n, n_i = ||(W0 + s·B·A)_i||. Liu et al. 2024, arXiv:2402.09353.</summary>
/// <remarks>
/// A (R, in), B (out, R), m (out). n counts as a constant in backward (section 4.3 of the paper). Its square is ||W0_i||² + 2s·B_i·P_i + s²·B_i·M·B_iᵀ with P =
/// W0·Aᵀ and M = A·Aᵀ,
/// so no (out, in) matrix is made: 2R·in·out flop per forward. Saves x, u (N, R) and the product before c (N, out).
/// On top of another adapter, or with dropout, it adds (c − 1)⊙x·W0ᵀ + c⊙s·(x·Aᵀ)·Bᵀ to what lies below, as PEFT does.
/// </remarks>
public sealed class Dora : IAdapter
{
    private readonly LowRankPair _pair;
    private readonly AdapterParameter _magnitude;
    private readonly Linear _target;
    private readonly DoraNorm _norm;

    private Dora(AdapterSite site, LowRankPair pair)
    {
        _pair = pair;
        _target = site.Linear;
        _magnitude = site.Parameter("lora_magnitude_vector", new Shape(site.Linear.Out), AdapterRole.Magnitude);
        _norm = new DoraNorm(site, t => Tape.Detach(_target.Weight.Dense(t)), looksAhead: true);
        Parameters = [pair.A, pair.B, _magnitude];
    }

    /// <inheritdoc/>
    public IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <summary>A pair and the row norms of the weight with it.</summary>
    public static Dora Create(AdapterSite site, DoraConfig config)
    {
        ArgumentNullException.ThrowIfNull(site);
        ArgumentNullException.ThrowIfNull(config);
        Dora adapter = new(site, LowRankPair.Create(site, config, LowRankPair.Scaling(site, config.RankStabilized), config.Initialization));
        if (!site.Group.FromFile)
        {
            using Scope scope = site.Group.Arena.Enter("dora");
            adapter._magnitude.Value.CopyFrom(adapter.Norm(Tape.None(site.Group.Arena)));
        }

        return adapter;
    }

    /// <inheritdoc/>
    public Tensor Forward(LinearCall c)
    {
        Tape t = c.Tape;
        Tensor gain = t.Div(_magnitude.Value, Norm(t)); // (out)
        if (c.IsInnermost && (_pair.Dropout == 0 || c.Context.Phase != ForwardPhase.Train))
        {
            Tensor v = c.Target.Weight.Forward(t, c.Input, null, _pair.Branch(t, c.Input));
            Tensor y = v.DType == gain.DType ? t.Mul(v, gain) : t.Add(v, t.Mul(v, Less1(t, gain, v.DType)));
            return c.Target.Bias is { } bias ? t.Add(y, t.Cast(bias.Value, y.DType)) : y;
        }

        Tensor x = _pair.Input(c);
        Tensor z = c.Target.Weight.Forward(t, x, null, null);
        LowRankBranch branch = _pair.Branch(t, x);
        Tensor low = t.Scale(t.Linear(branch.U, branch.B), branch.Scale);
        return t.Add(c.Inner(c.Input), t.Add(t.Mul(z, Less1(t, gain, z.DType)), t.Mul(low, t.Cast(gain, low.DType))));
    }

    /// <inheritdoc/>
    public Tensor Merged(Tape t, Tensor weight)
    {
        ArgumentNullException.ThrowIfNull(t);
        Tensor column = t.View(t.Div(_magnitude.Value, Norm(t)), new Shape(_target.Out, 1));
        Tensor own = _target.Weight.Dense(t);
        Tensor effective = t.Mul(t.Add(own, _pair.Delta(t)), column);
        return t.Add(t.Sub(weight, own), effective); // weight is the base's own where nothing lies between
    }

    /// <inheritdoc/>
    public void Loaded() => _norm.LookAhead(Norm);

    /// <inheritdoc/>
    public bool AfterStep(in AdapterStep step)
    {
        _norm.LookAhead(Norm);
        return false;
    }

    // Gains are near 1, where BF16 has steps of 0.004 to 0.008: what they differ by from 1 is rounded, not they themselves.
    private static Tensor Less1(Tape t, Tensor gain, DType type) => t.Cast(t.AddScalar(gain, -1), type);

    // Of the values alone: no gradient passes.
    private Tensor Norm(Tape t)
    {
        Tensor a = Tape.Detach(_pair.A.Value);
        Tensor b = Tape.Detach(_pair.B.Value);
        Tensor p = t.Transpose(Tape.Detach(_target.Weight.Forward(t, a, null, null))); // (out, R)
        return _norm.Of(t, a, b, p, _pair.Scale);
    }
}

/// <summary>DoRA on a table: y = c⊙(E[t] + s·B·A[:, t]), one magnitude per feature, norms over the vocabulary.</summary>
public sealed class DoraEmbedding : IEmbeddingAdapter
{
    private readonly AdapterParameter _a;
    private readonly AdapterParameter _b;
    private readonly AdapterParameter _magnitude;
    private readonly Embedding _target;
    private readonly double _scale;
    private readonly DoraNorm _norm;

    private DoraEmbedding(AdapterSite site, double scale)
    {
        Shape table = site.Embedding.Weight.Shape;
        _target = site.Embedding;
        _scale = scale;
        _a = site.Parameter("lora_embedding_A", new Shape(site.Rank, table[0]), AdapterRole.Down);
        _b = site.Parameter("lora_embedding_B", new Shape(table[1], site.Rank), AdapterRole.Up);
        _magnitude = site.Parameter("lora_magnitude_vector", new Shape(table[1]), AdapterRole.Magnitude);
        _norm = new DoraNorm(site, t => t.Transpose(Table(t)), looksAhead: false);
        Parameters = [_a, _b, _magnitude];
    }

    /// <inheritdoc/>
    public IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <summary>A pair and the norms of the table's columns with it.</summary>
    public static DoraEmbedding Create(AdapterSite site, DoraConfig config)
    {
        ArgumentNullException.ThrowIfNull(site);
        ArgumentNullException.ThrowIfNull(config);
        DoraEmbedding adapter = new(site, LowRankPair.Scaling(site, config.RankStabilized));
        LoraEmbedding.Initialize(site, adapter._b);
        if (!site.Group.FromFile)
        {
            using Scope scope = site.Group.Arena.Enter("dora");
            adapter._magnitude.Value.CopyFrom(adapter.Norm(Tape.None(site.Group.Arena)));
        }

        return adapter;
    }

    /// <inheritdoc/>
    public Tensor Forward(EmbeddingCall c)
    {
        Tape t = c.Tape;
        Tensor gain = t.Div(_magnitude.Value, Norm(t)); // (C)
        return t.Mul(t.Add(c.Inner(), LoraEmbedding.Delta(t, c.Ids, _a, _b, _scale)), gain);
    }

    /// <inheritdoc/>
    public Tensor Merged(Tape t, Tensor weight)
    {
        ArgumentNullException.ThrowIfNull(t);
        Tensor delta = t.Scale(t.MatMul(_a.Value, _b.Value, transposeA: true, transposeB: true), _scale);
        return t.Mul(t.Add(weight, delta), t.Div(_magnitude.Value, Norm(t)));
    }

    private Tensor Table(Tape t) => t.Cast(Tape.Detach(_target.Weight.Value), DType.F32);

    private Tensor Norm(Tape t)
    {
        Tensor a = Tape.Detach(_a.Value);
        Tensor p = t.Transpose(t.MatMul(a, Tape.Detach(_target.Weight.Value))); // (C, R)
        return _norm.Of(t, a, Tape.Detach(_b.Value), p, _scale);
    }
}

/// <summary>Row norms of W0 + s·B·A without that matrix; the squared row norms of W0 are kept for as long as the base stays.</summary>
/// <remarks>Where rows cancel is known by their values only. The host looks at them in every forward if it reaches them; else, where <paramref
/// name="looksAhead"/>, after every change of the parameters, since a look within a forward would stop the device, and cannot be recorded in a graph.</remarks>
internal sealed class DoraNorm(AdapterSite site, Func<Tape, Tensor> weight, bool looksAhead)
{
    private bool _ahead;
    private bool _cancelled;

    // Below this share of ||W0||² the three terms cancel: the norm is taken from the matrix itself.
    private const float Cancelled = 1e-6f;

    // Keeps a row of zeros from dividing by zero: its magnitude is zero as well.
    private const double Smallest = 1e-30;

    /// <summary>(rows): a (R, in), b (rows, R), p = W0·aᵀ (rows, R), none with a gradient.</summary>
    public Tensor Of(Tape t, Tensor a, Tensor b, Tensor p, double scale)
    {
        Tensor before = BaseSquares();
        Tensor m = t.MatMul(a, a, transposeB: true); // (R, R)
        Tensor inner = t.Add(t.Scale(p, 2 * scale), t.Scale(t.MatMul(b, m), scale * scale));
        Tensor squares = t.Add(before, t.Sum(t.Mul(b, inner), -1));
        if (looksAhead && !_ahead && !squares.Device.IsHost ? _cancelled : IsCancelled(squares, before))
        {
            _cancelled = true;
            squares = t.Sum(t.Square(t.Add(weight(t), t.Scale(t.MatMul(b, a), scale))), -1);
        }

        return t.Sqrt(t.AddScalar(squares, Smallest));
    }

    /// <summary>Takes note, on devices that the host does not reach, whether rows cancel with the parameters as they are now.</summary>
    public void LookAhead(Func<Tape, Tensor> norm)
    {
        Arena arena = site.Group.Arena;
        if (arena.Device.Plans == DeviceKind.Cpu)
        {
            return;
        }

        _ = BaseSquares(); // outside of the scope, so that they stay
        using Scope scope = arena.Enter("dora");
        (_ahead, _cancelled) = (true, false);
        try
        {
            _ = norm(Tape.None(arena));
        }
        finally
        {
            _ahead = false;
        }
    }

    private Tensor BaseSquares() => site.Group.Derived($"{site.Module}: squares", tape => tape.Sum(tape.Square(weight(tape)), -1));

    private static bool IsCancelled(Tensor squares, Tensor before)
    {
        if (!squares.Device.Computes)
        {
            return false;
        }

        ReadOnlySpan<float> now = squares.OnHost<float>();
        ReadOnlySpan<float> base0 = before.OnHost<float>();
        for (int i = 0; i < now.Length; i++)
        {
            if (!(now[i] >= Cancelled * base0[i]))
            {
                return true;
            }
        }

        return false;
    }
}
