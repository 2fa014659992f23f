namespace Graft.Training;

/// <summary>One term of an objective over a step: its sum divided by the global count.</summary>
/// <param name="Name">As the objective calls it.</param>
/// <param name="Value">Before its weight.</param>
/// <param name="Weight">What it enters the loss with.</param>
public readonly record struct TermValue(string Name, double Value, double Weight);

/// <summary>What an optimizer step did.</summary>
/// <param name="Loss">The weighted sum of all terms.</param>
/// <param name="Terms">The terms.</param>
/// <param name="LearningRate">The rate of this step, before groups.</param>
/// <param name="GradientNorm">The global norm before clipping.</param>
/// <param name="TargetTokens">Tokens with loss, over all micro-batches.</param>
/// <param name="Tokens">Tokens without padding.</param>
/// <param name="Warning">Why the step changed nothing, null where it was a usual one.</param>
public sealed record StepResult(
    double Loss, IReadOnlyList<TermValue> Terms, double LearningRate, double GradientNorm, long TargetTokens, long Tokens, string? Warning = null);

/// <summary>Loss and accuracies over a held-out set.</summary>
/// <param name="Loss">Mean over tokens with loss, in nats.</param>
/// <param name="TokenAccuracy">The fraction of tokens with loss that were the most likely ones; NaN where not measured.</param>
/// <param name="ExactMatch">The fraction of samples of which every token with loss was; NaN where not measured.</param>
/// <param name="Tokens">Tokens with loss.</param>
/// <param name="Samples">Samples with at least one of those.</param>
public sealed record EvaluationResult(double Loss, double TokenAccuracy, double ExactMatch, long Tokens, long Samples)
{
    /// <summary>e^loss.</summary>
    public double Perplexity => Math.Exp(Loss);
}
