using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Generation;

/// <summary>Chooses the next token: processors in transformers' order, then the best token or a draw.</summary>
public sealed class Sampler
{
    private readonly List<ILogitsProcessor> _processors = [];
    private readonly bool _draws;

    /// <summary>A sampler by settings.</summary>
    /// <param name="config">The settings.</param>
    /// <param name="promptLength">Of the row that it will be used for.</param>
    /// <param name="ends">The tokens that end a text.</param>
    /// <exception cref="ConfigurationException">A setting is out of its range; names it.</exception>
    public Sampler(GenerationConfig config, int promptLength, IReadOnlyList<int> ends)
    {
        ArgumentNullException.ThrowIfNull(config);
        _draws = config.DoSample;
        Add(config.RepetitionPenalty is not 1, () => new RepetitionPenalty((float)config.RepetitionPenalty));
        Add(config.NoRepeatNgramSize > 0, () => new NoRepeatNGram(config.NoRepeatNgramSize));
        Add(config.BadWordsIds.Count > 0, () => new NoBadWords(config.BadWordsIds, ends));
        Add(config.MinLength > 0, () => new MinLength(config.MinLength, ends));
        Add(config.MinNewTokens > 0, () => new MinLength(promptLength + config.MinNewTokens, ends));
        Add(config.SuppressTokens.Count > 0, () => new SuppressTokens(config.SuppressTokens));
        Add(config.BeginSuppressTokens.Count > 0, () => new SuppressAtBegin(config.BeginSuppressTokens, promptLength));
        if (_draws)
        {
            Add(config.Temperature is not 1, () => new Temperature((float)config.Temperature));
            Add(config.TopK > 0, () => new TopK(config.TopK));
            Add(config.TopP < 1, () => new TopP((float)config.TopP));
            Add(config.MinP > 0, () => new MinP((float)config.MinP));
            Add(config.TypicalP < 1, () => new TypicalP((float)config.TypicalP));
            Add(config.EpsilonCutoff > 0, () => new Cutoff((float)config.EpsilonCutoff));
            Add(config.EtaCutoff > 0, () => new Cutoff((float)config.EtaCutoff, byEntropy: true));
        }
    }

    /// <summary>The distribution that a token is drawn from.</summary>
    /// <param name="ids">The row so far.</param>
    /// <param name="scores">Logits (V); changed.</param>
    public double[] Probabilities(ReadOnlySpan<int> ids, Span<float> scores)
    {
        foreach (ILogitsProcessor processor in _processors)
        {
            processor.Process(ids, scores);
        }

        double[] probabilities = new double[scores.Length];
        Scores.Softmax(scores, probabilities);
        return probabilities;
    }

    /// <summary>The next token.</summary>
    /// <param name="ids">The row so far.</param>
    /// <param name="scores">Logits (V); changed.</param>
    /// <param name="uniform">A number in [0, 1), used where tokens are drawn.</param>
    public int Next(ReadOnlySpan<int> ids, Span<float> scores, double uniform)
    {
        if (!_draws)
        {
            foreach (ILogitsProcessor processor in _processors)
            {
                processor.Process(ids, scores);
            }

            return System.Numerics.Tensors.TensorPrimitives.IndexOfMax(scores);
        }

        double[] probabilities = Probabilities(ids, scores);
        double mass = 0;
        int last = 0;
        for (int i = 0; i < probabilities.Length; i++)
        {
            if (probabilities[i] > 0)
            {
                mass += probabilities[i];
                last = i;
                if (uniform < mass)
                {
                    return i;
                }
            }
        }

        return last;
    }

    private void Add(bool when, Func<ILogitsProcessor> make)
    {
        if (when)
        {
            _processors.Add(make());
        }
    }
}
