using Graft.Models.Adapters;
using Graft.Runtime;

namespace Graft.Training.Optimizers;

/// <summary>What training an adapter takes besides its parameters: groups for the optimizer, and calls back to its method.</summary>
public static class AdapterTraining
{
    /// <summary>A set of the adapter's tensors; what its method keeps frozen is frozen in it too.</summary>
    /// <param name="adapter">The adapter.</param>
    /// <param name="arena">Persistent; takes the blocks.</param>
    /// <param name="loraPlusRatio">Factor on the learning rate of LoRA's B, and of everything of one axis: LoRA+, Hayou et al. 2024, arXiv:2402.12354; 1 for
    /// none.</param>
    /// <remarks>Magnitudes, gates and biases have no weight decay: it would pull them towards something other than the base.</remarks>
    public static ParameterSet Parameters(AttachedAdapter adapter, Arena arena, double loraPlusRatio = 1)
    {
        ArgumentNullException.ThrowIfNull(adapter);
        HashSet<Parameter> decaying = [.. adapter.Parameters.Where(p => p.Decays).Select(p => p.Parameter)];
        bool Fast(ParameterEntry e) => e.Tags.Adapter is "lora_B" or "lora_embedding_B" || e.Parameter.Shape.Rank == 1;
        ParameterSetOptions options = new()
        {
            Groups =
            [
                new ParameterGroup("fast", e => Fast(e) && decaying.Contains(e.Parameter)) { LearningRateFactor = loraPlusRatio },
                new ParameterGroup("fast without decay", e => Fast(e)) { LearningRateFactor = loraPlusRatio, WeightDecay = 0 },
                new ParameterGroup("without decay", e => !decaying.Contains(e.Parameter)) { WeightDecay = 0 },
            ],
        };
        ParameterSet set = new(adapter.Parameters.Select(p => p.Parameter), arena, options);
        SetScales(set, adapter);
        return set;
    }

    /// <summary>Tells the adapter's method of every step of the optimizer, and of parameters read from a checkpoint.</summary>
    /// <param name="optimizer">Trains the adapter.</param>
    /// <param name="host">Holds the adapter.</param>
    /// <param name="adapter">The adapter.</param>
    /// <param name="totalSteps">Optimizer steps of the whole run; 0 if unknown.</param>
    public static void Connect(Optimizer optimizer, AdapterHost host, AttachedAdapter adapter, long totalSteps = 0)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(host);
        ArgumentNullException.ThrowIfNull(adapter);
        optimizer.Updated += o =>
        {
            if (host.AfterStep(new AdapterStep(o.Step, totalSteps)))
            {
                o.Parameters.Replace(adapter.Parameters.Select(p => p.Parameter));
                SetScales(o.Parameters, adapter);
            }

            o.Parameters.Refresh();
        };
        optimizer.Parameters.Loaded += _ => host.Refresh(adapter.Name);
    }

    private static void SetScales(ParameterSet set, AttachedAdapter adapter)
    {
        foreach (AdapterParameter parameter in adapter.Parameters)
        {
            set.Find(parameter.Parameter)!.UpdateScale = parameter.UpdateScale;
        }
    }
}
