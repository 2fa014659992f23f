namespace Graft.Training.Data;

/// <summary>How samples share the rows of a batch.</summary>
public enum PackingMode
{
    /// <summary>Several samples a row: first fit decreasing over a window of samples.</summary>
    FirstFitDecreasing,

    /// <summary>Several samples a row, strictly in order: a row ends where the next sample does not fit.</summary>
    Greedy,

    /// <summary>One sample a row, padded on the right.</summary>
    None,
}

/// <summary>Distributes samples over rows. Depends on nothing but the lengths.</summary>
internal static class Packer
{
    /// <summary>The rows of a window, each a list of entries of <paramref name="lengths"/> in ascending order; rows are ordered by their first entry.</summary>
    public static List<List<int>> Pack(ReadOnlySpan<int> lengths, int rowLength, PackingMode mode)
    {
        foreach (int length in lengths)
        {
            if (length < 1 || length > rowLength)
            {
                throw new ArgumentOutOfRangeException(nameof(lengths), length, $"A sample must have 1 to {rowLength} tokens.");
            }
        }

        return mode switch
        {
            PackingMode.None => OneEach(lengths.Length),
            PackingMode.Greedy => InOrder(lengths, rowLength),
            _ => FirstFitDecreasing(lengths, rowLength),
        };
    }

    private static List<List<int>> OneEach(int count) => [.. Enumerable.Range(0, count).Select(i => (List<int>)[i])];

    private static List<List<int>> InOrder(ReadOnlySpan<int> lengths, int rowLength)
    {
        List<List<int>> rows = [];
        int free = 0;
        for (int i = 0; i < lengths.Length; i++)
        {
            if (lengths[i] > free)
            {
                rows.Add([]);
                free = rowLength;
            }

            rows[^1].Add(i);
            free -= lengths[i];
        }

        return rows;
    }

    private static List<List<int>> FirstFitDecreasing(ReadOnlySpan<int> lengths, int rowLength)
    {
        int[] order = new int[lengths.Length];
        int[] keys = new int[lengths.Length];
        for (int i = 0; i < order.Length; i++)
        {
            order[i] = i;
            keys[i] = lengths[i];
        }

        // Equal lengths keep their order: the sort must not depend on the library's algorithm.
        Array.Sort(order, (a, b) => keys[a] != keys[b] ? keys[b].CompareTo(keys[a]) : a.CompareTo(b));
        List<List<int>> rows = [];
        List<int> free = [];
        foreach (int i in order)
        {
            int row = free.FindIndex(f => f >= keys[i]);
            if (row < 0)
            {
                row = rows.Count;
                rows.Add([]);
                free.Add(rowLength);
            }

            rows[row].Add(i);
            free[row] -= keys[i];
        }

        foreach (List<int> row in rows)
        {
            row.Sort();
        }

        rows.Sort((a, b) => a[0].CompareTo(b[0]));
        return rows;
    }
}
