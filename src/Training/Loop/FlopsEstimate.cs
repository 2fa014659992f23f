using Graft.Models.Architectures;
using Graft.Models.Layers;

namespace Graft.Training;

/// <summary>Floating-point operations of a training step, a multiply and an add counting as two: products of linear layers and attention, nothing
/// else.</summary>
public static class FlopsEstimate
{
    /// <summary>2·N·Σ in·out for forward, as much again for the gradients of inputs and for those of each trained weight, attention with half of T² scores, and
    /// a second forward where layers are recomputed.</summary>
    /// <param name="model">Which weights are trained is read off it; adapters' own products, a few percent, are left out.</param>
    /// <param name="tokens">Tokens of the step, N, padding included.</param>
    /// <param name="length">Tokens of a row, T.</param>
    /// <param name="checkpointing">Whether layers are run again in backward.</param>
    public static double OfStep(ILanguageModel model, long tokens, int length, bool checkpointing = false)
    {
        ArgumentNullException.ThrowIfNull(model);
        double products = 0;
        double trained = 0;
        double head = (double)model.Head.In * model.Head.Out;
        foreach (Linear linear in model.Linears)
        {
            double weight = (double)linear.In * linear.Out;
            products += weight;
            trained += linear.Weight.Parameter is { Trainable: true } ? weight : 0;
        }

        double attention = 2.0 * length * model.HiddenSize * model.LayerCount; // scores and sums, half of them masked
        double forward = (2 * products) + attention;
        double backward = (2 * products) + (2 * trained) + (2 * attention);
        double again = checkpointing ? forward - (2 * head) : 0;
        return tokens * (forward + backward + again);
    }
}
