namespace Graft.Models.Tokenizers;

/// <summary>A word while its symbols are merged.</summary>
internal sealed class BpeWord(int capacity)
{
    // Up to this length looking at all pairs each time is faster than a heap.
    private const int Short = 48;

    private int[] _ids = new int[capacity];
    private int[] _lengths = new int[capacity];
    private int _count;

    public void Add(int id, int length)
    {
        if (_count == _ids.Length)
        {
            Array.Resize(ref _ids, 2 * _count);
            Array.Resize(ref _lengths, 2 * _count);
        }

        _ids[_count] = id;
        _lengths[_count++] = length;
    }

    public (int[] Ids, int[] Lengths) ToArrays() => (_ids[.._count], _lengths[.._count]);

    /// <summary>Merges until no pair is left that has a rank: the lowest rank first, the leftmost of equals.</summary>
    public void Merge(PairTable merges)
    {
        if (_count < 2 || merges.Count == 0)
        {
            return;
        }

        if (_count <= Short)
        {
            MergeShort(merges);
        }
        else
        {
            MergeLong(merges);
        }
    }

    private void MergeShort(PairTable merges)
    {
        Span<int> ranks = stackalloc int[Short];
        Span<int> merged = stackalloc int[Short];
        for (int i = 0; i + 1 < _count; i++)
        {
            Look(merges, i, ranks, merged);
        }

        while (_count > 1)
        {
            int best = int.MaxValue;
            int at = -1;
            for (int i = 0; i + 1 < _count; i++)
            {
                if (ranks[i] < best)
                {
                    best = ranks[i];
                    at = i;
                }
            }

            if (at < 0)
            {
                return;
            }

            _ids[at] = merged[at];
            _lengths[at] += _lengths[at + 1];
            int tail = _count - at - 2;
            Array.Copy(_ids, at + 2, _ids, at + 1, tail);
            Array.Copy(_lengths, at + 2, _lengths, at + 1, tail);
            if (tail > 0)
            {
                ranks.Slice(at + 2, tail - 1).CopyTo(ranks[(at + 1)..]);
                merged.Slice(at + 2, tail - 1).CopyTo(merged[(at + 1)..]);
            }

            _count--;
            if (at > 0)
            {
                Look(merges, at - 1, ranks, merged);
            }

            if (at + 1 < _count)
            {
                Look(merges, at, ranks, merged);
            }
        }
    }

    private void Look(PairTable merges, int at, Span<int> ranks, Span<int> merged)
    {
        bool found = merges.TryGet(_ids[at], _ids[at + 1], out (int Rank, int Id) merge);
        ranks[at] = found ? merge.Rank : int.MaxValue;
        merged[at] = merge.Id;
    }

    private void MergeLong(PairTable merges)
    {
        int[] next = new int[_count];
        int[] previous = new int[_count];
        PriorityQueue<(int At, int Id), long> queue = new(_count);
        for (int i = 0; i < _count; i++)
        {
            next[i] = i + 1 < _count ? i + 1 : -1;
            previous[i] = i - 1;
            Enqueue(i, next[i]);
        }

        while (queue.TryDequeue(out (int At, int Id) top, out _))
        {
            int right = next[top.At];
            if (_lengths[top.At] == 0 || right < 0
                || !merges.TryGet(_ids[top.At], _ids[right], out (int Rank, int Id) merge) || merge.Id != top.Id)
            {
                // The pair is gone: one of its halves was merged with another neighbour.
                continue;
            }

            _ids[top.At] = top.Id;
            _lengths[top.At] += _lengths[right];
            _lengths[right] = 0;
            next[top.At] = next[right];
            if (next[right] >= 0)
            {
                previous[next[right]] = top.At;
            }

            if (previous[top.At] >= 0)
            {
                Enqueue(previous[top.At], top.At);
            }

            Enqueue(top.At, next[top.At]);
        }

        int kept = 0;
        for (int i = 0; i < _count; i++)
        {
            if (_lengths[i] > 0)
            {
                _ids[kept] = _ids[i];
                _lengths[kept++] = _lengths[i];
            }
        }

        _count = kept;

        void Enqueue(int left, int right)
        {
            if (right >= 0 && merges.TryGet(_ids[left], _ids[right], out (int Rank, int Id) merge))
            {
                queue.Enqueue((left, merge.Id), ((long)merge.Rank << 32) | (uint)left);
            }
        }
    }
}
