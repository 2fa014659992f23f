using System.Numerics;
using Graft.Runtime;

namespace Graft.Training.Optimizers;

/// <summary>Stochastic gradient descent with momentum. Defaults and order of arithmetic of PyTorch (torch/optim/sgd.py); Nesterov's form after Sutskever et al.
/// 2013.</summary>
/// <remarks>g ← g + wd·p; b ← μ·b + (1 − dampening)·g, in the first update b ← g; p ← p − lr·b, with Nesterov p ← p − lr·(g + μ·b). Slot: b, none without
/// momentum.</remarks>
/// <param name="Momentum">μ.</param>
/// <param name="Dampening">How much less of a gradient enters the momentum, from the second update on.</param>
/// <param name="WeightDecay">Strength of the decay, which is added to the gradient.</param>
public sealed record Sgd(double Momentum = 0, double Dampening = 0, double WeightDecay = 0) : IDeviceUpdateRule
{
    /// <summary>Look ahead along the momentum.</summary>
    public bool Nesterov { get; init; }

    /// <summary>Go up the gradient.</summary>
    public bool Maximize { get; init; }

    /// <inheritdoc/>
    public int Slots => Momentum == 0 ? 0 : 1;

    /// <inheritdoc/>
    public bool ScalesGradients => true;

    /// <inheritdoc/>
    public void Update(UpdateCall c)
    {
        SgdFactors f = Factors(c.LearningRate, c.WeightDecay, c.Step);
        c.ForEach(new Function
        {
            Sign = new(f.Sign),
            Penalty = new(f.Penalty),
            Momentum = new(f.Momentum),
            Fresh = new(f.Fresh),
            Ahead = new(f.Ahead),
            LearningRate = new(f.LearningRate),
            HasMomentum = Momentum != 0,
            Nesterov = f.Nesterov,
        });
    }

    /// <inheritdoc/>
    public bool TryUpdate(DeviceUpdate c)
    {
        if (c.Parameter.Device is not CudaDevice device)
        {
            return false;
        }

        FlatKernels.Sgd(device, c.Parameter, null, c.Gradient, Slots > 0 ? c.Slot(0) : null, Factors(c.LearningRate, c.WeightDecay, c.Step));
        return true;
    }

    /// <summary>The numbers of one step, for every device.</summary>
    internal SgdFactors Factors(double learningRate, double weightDecay, long step) => new(
        Sign: Maximize ? -1f : 1f,
        Penalty: (float)weightDecay,
        Momentum: (float)(step == 1 ? 0 : Momentum),
        Fresh: (float)(step == 1 ? 1 : 1 - Dampening),
        Ahead: (float)(Nesterov ? Momentum : 0),
        LearningRate: (float)learningRate,
        Nesterov: Nesterov);

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
