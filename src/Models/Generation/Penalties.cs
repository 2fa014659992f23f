using Graft.Runtime;

namespace Graft.Models.Generation;

/// <summary>Divides positive scores of tokens that occurred by the penalty and multiplies negative ones. Keskar et al. 2019, arXiv:1909.05858.</summary>
/// <param name="penalty">Above 1 against repetition.</param>
/// <param name="promptIgnored">So many tokens at the front do not count.</param>
public sealed class RepetitionPenalty(float penalty, int promptIgnored = 0) : ILogitsProcessor
{
    private readonly float _penalty = penalty > 0 ? penalty : throw new ConfigurationException($"repetition_penalty is {penalty}; it must be above zero.");

    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        HashSet<int> seen = [];
        foreach (int id in ids[Math.Min(promptIgnored, ids.Length)..])
        {
            if (seen.Add(id))
            {
                scores[id] = scores[id] < 0 ? scores[id] * _penalty : scores[id] / _penalty;
            }
        }
    }
}

/// <summary>Removes tokens that would repeat a run of n tokens.</summary>
public sealed class NoRepeatNGram(int size) : ILogitsProcessor
{
    private readonly int _size = size > 0 ? size : throw new ConfigurationException($"no_repeat_ngram_size is {size}; it must be 1 or more.");

    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        if (ids.Length + 1 < _size)
        {
            return;
        }

        ReadOnlySpan<int> tail = ids[(ids.Length - _size + 1)..];
        for (int i = 0; i + _size <= ids.Length; i++)
        {
            if (ids.Slice(i, _size - 1).SequenceEqual(tail))
            {
                scores[ids[i + _size - 1]] = float.NegativeInfinity;
            }
        }
    }
}

/// <summary>Removes the tokens that end a text until the row has a length.</summary>
/// <param name="length">Of prompt and generated tokens together.</param>
/// <param name="ends">The tokens that end a text.</param>
public sealed class MinLength(int length, IReadOnlyList<int> ends) : ILogitsProcessor
{
    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        if (ids.Length < length)
        {
            foreach (int end in ends)
            {
                scores[end] = float.NegativeInfinity;
            }
        }
    }
}

/// <summary>Removes tokens everywhere.</summary>
public sealed class SuppressTokens(IReadOnlyList<int> tokens) : ILogitsProcessor
{
    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        foreach (int token in tokens)
        {
            scores[token] = float.NegativeInfinity;
        }
    }
}

/// <summary>Removes tokens that would complete a forbidden run of tokens.</summary>
public sealed class NoBadWords : ILogitsProcessor
{
    private readonly List<int[]> _words = [];

    /// <summary>Forbids runs; a run that is one end token is not forbidden.</summary>
    /// <param name="words">Each one or more tokens.</param>
    /// <param name="ends">The tokens that end a text.</param>
    public NoBadWords(IEnumerable<IReadOnlyList<int>> words, IReadOnlyList<int> ends)
    {
        ArgumentNullException.ThrowIfNull(words);
        foreach (IReadOnlyList<int> word in words)
        {
            if (word.Count == 0)
            {
                throw new ConfigurationException("bad_words_ids holds an empty list; each entry is one or more tokens.");
            }

            if (word.Count > 1 || !ends.Contains(word[0]))
            {
                _words.Add([.. word]);
            }
        }
    }

    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        foreach (int[] word in _words)
        {
            if (word.Length == 1 || (word.Length <= ids.Length && ids[^(word.Length - 1)..].SequenceEqual(word.AsSpan(0, word.Length - 1))))
            {
                scores[word[^1]] = float.NegativeInfinity;
            }
        }
    }
}

/// <summary>Removes tokens at one place: the first after the prompt.</summary>
/// <param name="tokens">What is removed.</param>
/// <param name="begin">The length of the row at which they are.</param>
public sealed class SuppressAtBegin(IReadOnlyList<int> tokens, int begin) : ILogitsProcessor
{
    /// <inheritdoc/>
    public void Process(ReadOnlySpan<int> ids, Span<float> scores)
    {
        if (ids.Length == begin)
        {
            foreach (int token in tokens)
            {
                scores[token] = float.NegativeInfinity;
            }
        }
    }
}
