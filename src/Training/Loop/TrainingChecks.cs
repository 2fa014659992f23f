using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training;

/// <summary>Checks before the first step.</summary>
public static class TrainingChecks
{
    /// <summary>Refuses data in which no stop token carries loss: a model trained on it never learns to end.</summary>
    /// <param name="samples">The training data; read until the first that is in order.</param>
    /// <param name="stopTokens">End-of-sequence tokens of the model.</param>
    /// <exception cref="ConfigurationException">No sample has one with loss.</exception>
    public static void RequireStopToken(ITokenSamples samples, params ReadOnlySpan<int> stopTokens)
    {
        ArgumentNullException.ThrowIfNull(samples);
        for (long i = 0; i < samples.Count; i++)
        {
            ReadOnlySpan<int> ids = samples.Ids(i);
            ReadOnlySpan<byte> mask = samples.LossMask(i);
            for (int t = ids.Length - 1; t >= 1; t--) // the first token is never predicted
            {
                if (mask[t] != 0 && stopTokens.Contains(ids[t]))
                {
                    return;
                }
            }
        }

        throw new ConfigurationException(
            $"None of the {samples.Count} samples has a stop token ({string.Join(", ", stopTokens.ToArray())}) that carries loss: a model trained on them " +
            "never learns to stop. " +
            "Append the end-of-sequence token to completions (append_eos), or switch the check off (training.checks.require_stop_token).");
    }
}
