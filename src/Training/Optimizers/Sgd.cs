using System.Numerics;

namespace Graft.Training.Optimizers;

/// <summary>Stochastic gradient descent with momentum. Defaults and order of arithmetic of PyTorch (torch/optim/sgd.py); Nesterov's form after Sutskever et al.
/// 2013.</summary>
/// <remarks>g ← g + wd·p; b ← μ·b + (1 − dampening)·g, in the first update b ← g; p ← p − lr·b, with Nesterov p ← p − lr·(g + μ·b). Slot: b, none without
/// momentum.</remarks>
/// <param name="Momentum">μ.</param>
/// <param name="Dampening">How much less of a gradient enters the momentum, from the second update on.</param>
/// <param name="WeightDecay">Strength of the decay, which is added to the gradient.</param>
public sealed record Sgd(double Momentum = 0, double Dampening = 0, double WeightDecay = 0) : IUpdateRule
{
    /// <summary>Look ahead along the momentum.</summary>
    public bool Nesterov { get; init; }

    /// <summary>Go up the gradient.</summary>
    public bool Maximize { get; init; }

    /// <inheritdoc/>
    public int Slots => Momentum == 0 ? 0 : 1;

    /// <inheritdoc/>
    public void Update(UpdateCall c)
    {
        c.ForEach(new Function
        {
            Sign = new(Maximize ? -1f : 1f),
            Penalty = new((float)c.WeightDecay),
            Momentum = new((float)(c.Step == 1 ? 0 : Momentum)),
            Fresh = new((float)(c.Step == 1 ? 1 : 1 - Dampening)),
            Ahead = new((float)(Nesterov ? Momentum : 0)),
            LearningRate = new((float)c.LearningRate),
            HasMomentum = Momentum != 0,
            Nesterov = Nesterov,
        });
    }

    private struct Function : IUpdateFunction
    {
        public Vector<float> Sign;
        public Vector<float> Penalty;
        public Vector<float> Momentum;
        public Vector<float> Fresh;
        public Vector<float> Ahead;
        public Vector<float> LearningRate;
        public bool HasMomentum;
        public bool Nesterov;

        public readonly void Invoke(ref Vector<float> p, Vector<float> g, ref Vector<float> buffer, ref Vector<float> slot1, ref Vector<float> slot2)
        {
            g = (g * Sign) + (Penalty * p);
            if (HasMomentum)
            {
                buffer = (Momentum * buffer) + (Fresh * g);
                g = Nesterov ? g + (Ahead * buffer) : buffer;
            }

            p -= LearningRate * g;
        }
    }
}
