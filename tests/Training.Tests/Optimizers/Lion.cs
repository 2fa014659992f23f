using System.Numerics;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Optimizers;

/// <summary>The example of docs/optimizers.md: p ← p(1 − lr·wd); p ← p − lr·sign(β1·m + (1 − β1)·g); m ← β2·m + (1 − β2)·g. Source: Chen et al. 2023,
/// arXiv:2302.06675.</summary>
public sealed record Lion(double Beta1 = 0.9, double Beta2 = 0.99, double WeightDecay = 0) : IUpdateRule
{
    public int Slots => 1;

    public void Update(UpdateCall c) => c.ForEach(new Function
    {
        Decay = new((float)(1 - (c.LearningRate * c.WeightDecay))),
        Rate = new((float)c.LearningRate),
        Beta1 = new((float)Beta1),
        Beta2 = new((float)Beta2),
    });

    private struct Function : IUpdateFunction
    {
        public Vector<float> Decay, Rate, Beta1, Beta2;

        public readonly void Invoke(ref Vector<float> p, Vector<float> g, ref Vector<float> m, ref Vector<float> slot1, ref Vector<float> slot2)
        {
            Vector<float> direction = (Beta1 * m) + ((Vector<float>.One - Beta1) * g);
            Vector<float> step = Vector.ConditionalSelect(Vector.Equals(direction, Vector<float>.Zero), Vector<float>.Zero, Vector.CopySign(Rate, direction));
            p = (p * Decay) - step;
            m = (Beta2 * m) + ((Vector<float>.One - Beta2) * g);
        }
    }
}
