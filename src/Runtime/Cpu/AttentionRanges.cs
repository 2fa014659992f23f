namespace Graft.Runtime.Cpu;

/// <summary>The visible keys of a run of queries, as lanes for the masks and as hulls for skipping.</summary>
internal readonly unsafe struct AttentionRanges
{
    /// <summary>First visible key per query, as a float: exact below 2^24.</summary>
    public readonly float* First;

    /// <summary>End of the visible keys per query.</summary>
    public readonly float* End;

    /// <summary>The hull: no query sees a key outside of [Low, High). Empty as (0, 0).</summary>
    public readonly int Low;

    public readonly int High;

    // Every query sees every key in [_fullLow, _fullHigh).
    private readonly int _fullLow;
    private readonly int _fullHigh;

    /// <param name="c">The attention.</param>
    /// <param name="batch">Its batch item.</param>
    /// <param name="query">The first query.</param>
    /// <param name="count">How many; lanes up to <paramref name="lanes"/> are filled with "sees all", which nothing reads.</param>
    /// <param name="lanes">Padded number of lanes.</param>
    /// <param name="memory">2 · lanes floats.</param>
    public AttentionRanges(in AttentionCall c, int batch, int query, int count, int lanes, float* memory)
    {
        First = memory;
        End = memory + lanes;
        int low = int.MaxValue, high = 0, fullLow = 0, fullHigh = c.Keys;
        for (int i = 0; i < lanes; i++)
        {
            (int first, int end) = i < count ? c.Visible(batch, query + i) : (0, c.Keys);
            First[i] = first;
            End[i] = end;
            if (i < count)
            {
                fullLow = Math.Max(fullLow, first);
                fullHigh = Math.Min(fullHigh, end);
                if (end > first)
                {
                    low = Math.Min(low, first);
                    high = Math.Max(high, end);
                }
            }
        }

        (Low, High) = high > 0 ? (low, high) : (0, 0);
        (_fullLow, _fullHigh) = (fullLow, fullHigh);
    }

    /// <summary>The part of the key block [start, start + size) that may be visible, relative to start and widened to whole row panels; false if none.</summary>
    public bool Clip(int start, int size, out int first, out int last)
    {
        int step = Microkernel.MaxRows;
        first = Math.Max(0, Low - start) / step * step;
        last = Microkernel.RoundUp(Math.Min(High - start, size), step);
        return Low < start + size && High > start;
    }

    /// <summary>False where every query sees all keys in [first, last).</summary>
    public bool NeedsMask(int first, int last) => first < _fullLow || last > _fullHigh;
}
