using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>Where ALLoRA's row factor acts.</summary>
public enum AlloraMode
{
    /// <summary>On the gradient of each row of B·A, as in the paper. Adam largely divides it out again.</summary>
    Gradient,

    /// <summary>On the optimizer's update of each row of B (<see cref="AdapterParameter.UpdateScale"/>): the same for SGD, and effective for Adam.</summary>
    LearningRate,
}

/// <summary>ALLoRA: LoRA without dropout and scaling, whose gradients carry a factor per output row. Huang and Balestriero 2024, arXiv:2410.09692.</summary>
public sealed record AlloraConfig : AdapterConfig
{
    /// <summary>The paper's choices: η = 1.</summary>
    public AlloraConfig()
    {
        (Rank, Alpha) = (8, 8);
    }

    /// <summary>The factor at B = 0; finite and above zero. The paper tries η² of 1, 2 and 4.</summary>
    public float Eta { get; init; } = 1;

    /// <summary>Where the factor acts.</summary>
    public AlloraMode Mode { get; init; }
}

/// <summary>y = base(x) + x·Aᵀ·Bᵀ; the gradient of row i of B·A is multiplied by φ_i = 1 / √(||(B·A)_i|| + 1/η²) on its way to A and B, not on its way to
/// x.</summary>
/// <remarks>Huang and Balestriero 2024, arXiv:2410.09692, section 4. Row norms by B_i·(A·Aᵀ)·B_iᵀ: 2R²·(in + out) flop. Clip gradients after this: the factor
/// is part of the gradient.</remarks>
public sealed class Allora : IAdapter
{
    private readonly LowRankPair _pair;
    private readonly AlloraConfig _config;

    private Allora(LowRankPair pair, AlloraConfig config)
    {
        _pair = pair;
        _config = config;
        AdapterParameter b = config.Mode == AlloraMode.Gradient ? pair.B : pair.B with { UpdateScale = RowFactor };
        Parameters = [pair.A, b];
    }

    /// <inheritdoc/>
    public IReadOnlyList<AdapterParameter> Parameters { get; }

    /// <summary>A pair that starts as LoRA's does.</summary>
    /// <exception cref="ConfigurationException">η is not finite and above zero, or a dropout was asked for.</exception>
    public static Allora Create(AdapterSite site, AlloraConfig config)
    {
        ArgumentNullException.ThrowIfNull(site);
        ArgumentNullException.ThrowIfNull(config);
        if (!(config.Eta > 0) || !float.IsFinite(config.Eta))
        {
            throw new ConfigurationException($"allora: eta is {config.Eta}; it must be finite and above zero, since B = 0 divides by 1/eta².");
        }

        return config.Dropout == 0
            ? new Allora(LowRankPair.Create(site, config, 1, LoraInitialization.Default), config)
            : throw new ConfigurationException($"allora: the method has no dropout, but {config.Dropout} was given. Leave it out, or use lora.");
    }

    /// <inheritdoc/>
    public Tensor Forward(LinearCall c)
    {
        return _config.Mode == AlloraMode.LearningRate
            ? c.Inner(c.Input, _pair.Branch(c.Tape, c.Input))
            : c.Tape.Add(c.Inner(c.Input), c.Tape.ApplyComposite(new AlloraBranch(_config.Eta), c.Input, _pair.A.Value, _pair.B.Value));
    }

    /// <inheritdoc/>
    public Tensor Merged(Tape t, Tensor weight)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Add(weight, _pair.Delta(t));
    }

    /// <inheritdoc/>
    public LoraFactors ToLora() => _pair.ToFactors();

    private Tensor RowFactor(Tape t) => AlloraBranch.RowFactor(t, Tape.Detach(_pair.A.Value), Tape.Detach(_pair.B.Value), _config.Eta);
}

/// <summary>x·Aᵀ·Bᵀ with two versions of the output's gradient: as it is for x, times φ for A and B. x (..., in), A (R, in), B (out, R).</summary>
/// <param name="Eta">η.</param>
internal readonly record struct AlloraBranch(float Eta) : ICompositeOp<AlloraBranch>
{
    public static OpInfo Info { get; } = new("allora_branch", 3, "arXiv:2410.09692");

    public static Tensor Forward(in AlloraBranch op, CompositeCall c)
    {
        Tensor u = c.Tape.Linear(c.Input(0), c.Input(1));
        c.Save(u);
        return c.Tape.Linear(u, c.Input(2));
    }

    public static Saves Saves(in AlloraBranch op, Needs needs)
    {
        return Runtime.Saves.Nothing.Input(0, needs[1]).Input(1).Input(2).Extra(0, needs[2]);
    }

    public static void Backward(in AlloraBranch op, BackwardCall c)
    {
        Tape t = c.Tape;
        Tensor a = c.Input(1);
        Tensor b = c.Input(2);
        int rows = checked((int)c.InputSpec(0).Shape.Rows);
        Tensor dy = t.View(c.OutputGradient, new Shape(rows, b.Shape[0]));
        if (c.Needs(0))
        {
            c.Accumulate(0, t.MatMul(t.MatMul(dy, b), a));
        }

        if (!c.Needs(1) && !c.Needs(2))
        {
            return;
        }

        // φ belongs to the rows of B, so no second copy of dy is made.
        Tensor factor = t.View(RowFactor(t, a, b, op.Eta), new Shape(b.Shape[0], 1));
        if (c.Needs(1))
        {
            Tensor du = t.MatMul(dy, t.Mul(b, factor)); // (N, R)
            c.Accumulate(1, t.MatMul(t.Cast(du, a.DType), t.View(c.Input(0), new Shape(rows, a.Shape[1])), transposeA: true));
        }

        if (c.Needs(2))
        {
            Tensor u = t.View(c.Saved(0), new Shape(rows, a.Shape[0]));
            c.Accumulate(2, t.Mul(t.Cast(t.MatMul(dy, u, transposeA: true), b.DType), factor));
        }
    }

    /// <summary>φ (out).</summary>
    public static Tensor RowFactor(Tape t, Tensor a, Tensor b, float eta)
    {
        Tensor squares = t.Sum(t.Mul(b, t.MatMul(b, t.MatMul(a, a, transposeB: true))), -1);
        Tensor norms = t.Sqrt(t.Relu(squares)); // rounding may leave a negative where the row is zero
        return t.Rsqrt(t.AddScalar(norms, 1 / ((double)eta * eta)));
    }
}
