namespace Graft.Models.Generation;

/// <summary>Changes the scores of the next token, given the tokens so far. Removed tokens get −∞.</summary>
public interface ILogitsProcessor
{
    /// <summary>Edits <paramref name="scores"/> (V) in place.</summary>
    /// <param name="ids">Prompt and generated tokens of the row.</param>
    /// <param name="scores">Logits of the next token.</param>
    void Process(ReadOnlySpan<int> ids, Span<float> scores);
}

/// <summary>Work that several processors share.</summary>
internal static class Scores
{
    /// <summary>Softmax in F64, into <paramref name="probabilities"/>.</summary>
    public static void Softmax(ReadOnlySpan<float> scores, Span<double> probabilities)
    {
        double max = double.NegativeInfinity;
        foreach (float score in scores)
        {
            max = Math.Max(max, score);
        }

        double sum = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            probabilities[i] = Math.Exp(scores[i] - max);
            sum += probabilities[i];
        }

        for (int i = 0; i < scores.Length; i++)
        {
            probabilities[i] /= sum;
        }
    }

    /// <summary>Token ids from the least score to the largest; equal scores by id.</summary>
    public static int[] Ascending(ReadOnlySpan<float> scores)
    {
        int[] order = new int[scores.Length];
        for (int i = 0; i < order.Length; i++)
        {
            order[i] = i;
        }

        float[] keys = scores.ToArray();
        Array.Sort(order, (a, b) =>
        {
            int byScore = keys[a].CompareTo(keys[b]);
            return byScore != 0 ? byScore : a.CompareTo(b);
        });
        return order;
    }

    /// <summary>The k-th largest score.</summary>
    public static float KthLargest(ReadOnlySpan<float> scores, int k)
    {
        if (k == 1)
        {
            float best = float.NegativeInfinity;
            foreach (float score in scores)
            {
                best = Math.Max(best, score);
            }

            return best;
        }

        PriorityQueue<float, float> largest = new(k);
        foreach (float score in scores)
        {
            if (largest.Count < k)
            {
                largest.Enqueue(score, score);
            }
            else if (score > largest.Peek())
            {
                _ = largest.EnqueueDequeue(score, score);
            }
        }

        return largest.Peek();
    }

    public static void RemoveBelow(Span<float> scores, float least)
    {
        foreach (ref float score in scores)
        {
            if (score < least)
            {
                score = float.NegativeInfinity;
            }
        }
    }
}
