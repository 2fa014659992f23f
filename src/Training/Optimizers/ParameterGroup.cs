namespace Graft.Training.Optimizers;

/// <summary>Parameters that are treated alike, and in what way other than the rest: LoRA+'s faster `lora_B`, no decay on norms, another rule for
/// embeddings.</summary>
/// <param name="Name">For reports.</param>
/// <param name="Selects">Which parameters belong to it; the first group of the list that selects a parameter has it.</param>
public sealed record ParameterGroup(string Name, Func<ParameterEntry, bool> Selects)
{
    /// <summary>The group of what no other group selects.</summary>
    public static ParameterGroup Rest { get; } = new("rest", static _ => true);

    /// <summary>Factor on the optimizer's learning rate.</summary>
    public double LearningRateFactor { get; init; } = 1;

    /// <summary>Weight decay in place of the rule's; null keeps the rule's.</summary>
    public double? WeightDecay { get; init; }

    /// <summary>An update rule in place of the optimizer's; null keeps the optimizer's.</summary>
    public IOptimizerRule? Rule { get; init; }

    /// <summary>No decay on biases, norms and embeddings, as most recipes have it.</summary>
    public static ParameterGroup WithoutDecay { get; } = new("without " +
        "decay", static e => e.Tags.Role is ParameterRole.Bias or ParameterRole.Norm or ParameterRole.Embedding)
    {
        WeightDecay = 0,
    };
}
