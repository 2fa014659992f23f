using Graft.Runtime;

namespace Graft.Models.Generation;

/// <summary>scores / T.</summary>
public sealed class Temperature(float temperature) : ILogitsProcessor
{
    private readonly float _temperature = temperature > 0 && float.IsFinite(temperature) ? temperature
        : throw new ConfigurationException($"temperature is {temperature}; it must be above zero. For the most probable token turn sampling off.");

    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        foreach (ref float score in scores)
        {
            score /= _temperature;
        }
    }
}

/// <summary>Keeps the k most probable tokens, and those that tie with the last of them.</summary>
public sealed class TopK(int k, int minTokensToKeep = 1) : ILogitsProcessor
{
    private readonly int _k = k > 0 ? Math.Max(k, minTokensToKeep) : throw new ConfigurationException($"top_k is {k}; it must be 1 or more.");

    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        if (_k < scores.Length)
        {
            Scores.RemoveBelow(scores, Scores.KthLargest(scores, _k));
        }
    }
}

/// <summary>Keeps the smallest set of most probable tokens whose probabilities reach p. Holtzman et al. 2019, arXiv:1904.09751.</summary>
public sealed class TopP(float p, int minTokensToKeep = 1) : ILogitsProcessor
{
    private readonly float _p = p is >= 0 and <= 1 ? p : throw new ConfigurationException($"top_p is {p}; it must be from 0 to 1.");

    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        int[] order = Scores.Ascending(scores);
        double[] probabilities = new double[scores.Length];
        Scores.Softmax(scores, probabilities);
        double below = 0;
        for (int i = 0; i < order.Length - minTokensToKeep; i++)
        {
            below += probabilities[order[i]];
            if (below > 1.0 - _p)
            {
                break;
            }

            scores[order[i]] = float.NegativeInfinity;
        }
    }
}

/// <summary>Keeps tokens with at least p times the probability of the best one. Nguyen et al. 2024, arXiv:2407.01082.</summary>
public sealed class MinP(float p, int minTokensToKeep = 1) : ILogitsProcessor
{
    private readonly float _p = p is >= 0 and <= 1 ? p : throw new ConfigurationException($"min_p is {p}; it must be from 0 to 1.");

    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        double[] probabilities = new double[scores.Length];
        Scores.Softmax(scores, probabilities);
        double least = _p * probabilities.Max();
        int[] order = Scores.Ascending(scores);
        for (int i = 0; i < order.Length - minTokensToKeep; i++)
        {
            if (probabilities[order[i]] < least)
            {
                scores[order[i]] = float.NegativeInfinity;
            }
        }
    }
}

/// <summary>Keeps tokens whose surprise is nearest to the expected surprise, up to the mass p. Meister et al. 2022, arXiv:2202.00666.</summary>
public sealed class TypicalP(float p, int minTokensToKeep = 1) : ILogitsProcessor
{
    private readonly float _p = p is > 0 and < 1 ? p : throw new ConfigurationException($"typical_p is {p}; it must be above 0 and below 1.");

    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        double[] probabilities = new double[scores.Length];
        Scores.Softmax(scores, probabilities);
        double entropy = 0;
        foreach (double q in probabilities)
        {
            entropy -= q > 0 ? q * Math.Log(q) : 0;
        }

        float[] distance = new float[scores.Length];
        for (int i = 0; i < distance.Length; i++)
        {
            distance[i] = (float)Math.Abs(-Math.Log(probabilities[i]) - entropy);
        }

        int[] order = Scores.Ascending(distance);
        double mass = 0;
        int last = 0;
        while (last < order.Length && mass < _p)
        {
            mass += probabilities[order[last++]];
        }

        for (int i = Math.Max(last, minTokensToKeep); i < order.Length; i++)
        {
            if (distance[order[i]] > distance[order[Math.Max(last, 1) - 1]])
            {
                scores[order[i]] = float.NegativeInfinity;
            }
        }
    }
}

/// <summary>Removes tokens of a probability below a constant, or below one that shrinks with the entropy (eta). Hewitt et al. 2022, arXiv:2210.15191.</summary>
public sealed class Cutoff(float epsilon, bool byEntropy = false, int minTokensToKeep = 1) : ILogitsProcessor
{
    private readonly float _epsilon = epsilon is > 0 and < 1 ? epsilon : throw new ConfigurationException($"A cutoff of {epsilon} was given; it must be above 0 and below 1.");

    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        double[] probabilities = new double[scores.Length];
        Scores.Softmax(scores, probabilities);
        double least = _epsilon;
        if (byEntropy)
        {
            double entropy = 0;
            foreach (double q in probabilities)
            {
                entropy -= q > 0 ? q * Math.Log(q) : 0;
            }

            least = Math.Min(_epsilon, Math.Sqrt(_epsilon) * Math.Exp(-entropy));
        }

        float kept = Scores.KthLargest(scores, Math.Min(minTokensToKeep, scores.Length));
        for (int i = 0; i < scores.Length; i++)
        {
            if (probabilities[i] < least && scores[i] < kept)
            {
                scores[i] = float.NegativeInfinity;
            }
        }
    }
}
