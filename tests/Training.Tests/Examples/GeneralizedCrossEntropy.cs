using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Layers;
using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training.Tests.Examples;

/// <summary>Σ (1 − p^q) / q over the tokens with loss: between cross-entropy (q → 0) and mean absolute error (q = 1). Zhang and Sabuncu 2018, arXiv:1805.07836.</summary>
public sealed class GeneralizedCrossEntropy(ILanguageModel model, ActiveAdapters adapters, double q) : IObjective
{
    public IReadOnlyList<LossTerm> Forward(ObjectiveCall c)
    {
        Tape t = c.Tape;
        Batch batch = c.Batch;
        ForwardContext context = new(t, LanguageModelObjective.LayoutOf(batch)) { Phase = ForwardPhase.Train, Adapters = adapters, Random = c.Random };
        Tensor hidden = model.Hidden(context, t.Arena.Create<int>(new Shape(batch.Rows, batch.Length), batch.Ids, MemoryCategory.Activations));
        Tensor targets = t.Arena.Create<int>(new Shape(batch.Targets.Length), batch.Targets, MemoryCategory.Activations);
        Tensor logp = t.SelectedLogProb(t.View(hidden, new Shape(batch.Targets.Length, model.HiddenSize)), model.Head.Weight.Parameter!.Value, targets);
        Tensor power = t.Exp(t.Scale(logp, q));        // p^q; 1 where a position has no target, and so without loss
        Tensor loss = t.Scale(t.AddScalar(power, -1), -1 / q);
        return [new LossTerm("gce", t.Sum(loss))];
    }
}
