using System.Numerics;
using System.Runtime.CompilerServices;
using Graft.Runtime;

namespace Graft.Training.Optimizers;

/// <summary>Where weight decay acts.</summary>
public enum DecayPlacement
{
    /// <summary>p ← p (1 − lr·wd) before the update: AdamW.</summary>
    BeforeUpdate,

    /// <summary>p ← p − lr·wd·p after the update: the older AdamW of `transformers`, inside GaLore and Fira.</summary>
    AfterUpdate,

    /// <summary>g ← g + wd·p: Adam with an L2 penalty, a different method.</summary>
    InGradient,
}

/// <summary>Where ε is added.</summary>
public enum EpsilonPlacement
{
    /// <summary>√v / √(1 − β2^t) + ε: PyTorch.</summary>
    AfterCorrection,

    /// <summary>√v + ε with the correction in the step size: the older form of `transformers`.</summary>
    BeforeCorrection,
}

/// <summary>Adam with decoupled weight decay. Source: Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2; order of arithmetic and defaults of PyTorch
/// (torch/optim/adamw.py, single tensor).</summary>
/// <remarks>
/// p ← p(1 − lr·wd); m ← m + (1 − β1)(g − m); v ← β2·v + (1 − β2)·g·g; p ← p − lr / (1 − β1^t) · m / (√v / √(1 − β2^t) + ε).
/// Powers of β are worked out in F64. Slots: m, v, and the largest v with <see cref="AmsGrad"/>.
/// </remarks>
/// <param name="Beta1">Decay of the mean of gradients.</param>
/// <param name="Beta2">Decay of the mean of squares.</param>
/// <param name="Epsilon">Added to the denominator.</param>
/// <param name="WeightDecay">Strength of the decay.</param>
public sealed record AdamW(double Beta1 = 0.9, double Beta2 = 0.999, double Epsilon = 1e-8, double WeightDecay = 0.01) : IDeviceUpdateRule
{
    /// <summary>Divide by the largest v so far. Source: Reddi et al. 2018.</summary>
    public bool AmsGrad { get; init; }

    /// <summary>Go up the gradient.</summary>
    public bool Maximize { get; init; }

    /// <summary>Where decay acts.</summary>
    public DecayPlacement Decay { get; init; }

    /// <summary>Where ε is added.</summary>
    public EpsilonPlacement EpsilonAt { get; init; }

    /// <inheritdoc/>
    public int Slots => AmsGrad ? 3 : 2;

    /// <inheritdoc/>
    public bool ScalesGradients => true;

    /// <summary>Adam with PyTorch's defaults: no decay, and what there is goes into the gradient.</summary>
    public static AdamW Adam { get; } = new(WeightDecay: 0) { Decay = DecayPlacement.InGradient };

    /// <summary>The AdamW that `transformers` had before PyTorch's, with its defaults.</summary>
    public static AdamW Legacy { get; } = new(Epsilon: 1e-6, WeightDecay: 0)
    {
        Decay = DecayPlacement.AfterUpdate,
        EpsilonAt = EpsilonPlacement.BeforeCorrection,
    };

    /// <inheritdoc/>
    public void Update(UpdateCall c)
    {
        AdamWFactors f = Factors(c.LearningRate, c.WeightDecay, c.Step);
        c.ForEach(new Function
        {
            Before = new(f.Before),
            After = new(f.After),
            Penalty = new(f.Penalty),
            Sign = new(f.Sign),
            OneMinusBeta1 = new(f.OneMinusBeta1),
            Beta2 = new(f.Beta2),
            OneMinusBeta2 = new(f.OneMinusBeta2),
            Root2 = new(f.Root2),
            Epsilon = new(f.Epsilon),
            StepSize = new(f.StepSize),
            AmsGrad = AmsGrad,
        });
    }

    /// <inheritdoc/>
    public bool TryUpdate(DeviceUpdate c)
    {
        if (c.Parameter.Device is not CudaDevice device)
        {
            return false;
        }

        AdamWFactors factors = Factors(c.LearningRate, c.WeightDecay, c.Step);
        FlatKernels.AdamW(device, c.Parameter, null, c.Gradient, c.Slot(0), c.Slot(1), AmsGrad ? c.Slot(2) : null, factors);
        return true;
    }

    /// <summary>The numbers of one step, for every device.</summary>
    internal AdamWFactors Factors(double learningRate, double weightDecay, long step)
    {
        double correction1 = 1 - Math.Pow(Beta1, step);
        double root2 = Math.Sqrt(1 - Math.Pow(Beta2, step));
        bool early = EpsilonAt == EpsilonPlacement.BeforeCorrection;
        return new AdamWFactors(
            Before: (float)(Decay == DecayPlacement.BeforeUpdate ? 1 - (learningRate * weightDecay) : 1),
            After: (float)(Decay == DecayPlacement.AfterUpdate ? -learningRate * weightDecay : 0),
            Penalty: (float)(Decay == DecayPlacement.InGradient ? weightDecay : 0),
            Sign: Maximize ? -1f : 1f,
            OneMinusBeta1: (float)(1 - Beta1),
            Beta2: (float)Beta2,
            OneMinusBeta2: (float)(1 - Beta2),
            Root2: (float)(early ? 1 : root2),
            Epsilon: (float)Epsilon,
            StepSize: (float)(learningRate / correction1 * (early ? root2 : 1)));
    }

    private struct Function : IUpdateFunction
    {
        public Vector<float> Before;
        public Vector<float> After;
        public Vector<float> Penalty;
        public Vector<float> Sign;
        public Vector<float> OneMinusBeta1;
        public Vector<float> Beta2;
        public Vector<float> OneMinusBeta2;
        public Vector<float> Root2;
        public Vector<float> Epsilon;
        public Vector<float> StepSize;
        public bool AmsGrad;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly void Invoke(ref Vector<float> p, Vector<float> g, ref Vector<float> m, ref Vector<float> v, ref Vector<float> largest)
        {
            g = (g * Sign) + (Penalty * p);
            p *= Before;
            m += OneMinusBeta1 * (g - m);
            v = (Beta2 * v) + (OneMinusBeta2 * g * g);
            Vector<float> square = v;
            if (AmsGrad)
            {
                largest = Vector.Max(largest, v);
                square = largest;
            }

            p -= StepSize * (m / ((Vector.SquareRoot(square) / Root2) + Epsilon));
            p += After * p;
        }
    }
}
