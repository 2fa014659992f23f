using System.Numerics;
using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>Indices of the first elements of each row in order. An element and its index make one integer key, so keys differ and any sort is stable.</summary>
internal static unsafe class Selection
{
    private const int SmallCount = 64; // up to here keys are inserted into a short list instead of sorting the row

    public static void Run(WorkerTeam team, Tensor x, Tensor indices, bool smallest)
    {
        if (indices.Shape.Count == 0)
        {
            return;
        }

        int count = indices.Shape.Last;
        int length = x.Shape.Last;
        if (x.DType == DType.F64)
        {
            Work<UInt128, DoubleKeys> work = new() { X = x.RawPointer(), Indices = indices.Pointer<int>(), Length = length, Count = count, Smallest = smallest };
            team.Run(checked((int)x.Shape.Rows), ref work);
        }
        else
        {
            Work<ulong, SingleKeys> work = new() { X = x.RawPointer(), Indices = indices.Pointer<int>(), Length = length, Count = count, Smallest = smallest };
            team.Run(checked((int)x.Shape.Rows), ref work);
        }
    }

    private interface IKeys<TKey>
    {
        static abstract TKey Key(void* x, long at, int index, bool smallest);

        static abstract int Index(TKey key);
    }

    // The bits of floats in their order: negative ones inverted, the sign bit of positive ones set.
    private readonly struct SingleKeys : IKeys<ulong>
    {
        public static ulong Key(void* x, long at, int index, bool smallest)
        {
            float value = ((float*)x)[at] + 0f; // -0 becomes 0
            uint bits = BitConverter.SingleToUInt32Bits(value);
            uint order = float.IsNaN(value) ? uint.MaxValue : (bits >> 31) != 0 ? ~bits : bits | 0x8000_0000;
            return ((ulong)(smallest ? order : ~order) << 32) | (uint)index;
        }

        public static int Index(ulong key) => (int)key;
    }

    private readonly struct DoubleKeys : IKeys<UInt128>
    {
        public static UInt128 Key(void* x, long at, int index, bool smallest)
        {
            double value = ((double*)x)[at] + 0.0;
            ulong bits = BitConverter.DoubleToUInt64Bits(value);
            ulong order = double.IsNaN(value) ? ulong.MaxValue : (bits >> 63) != 0 ? ~bits : bits | 0x8000_0000_0000_0000;
            return new UInt128(smallest ? order : ~order, (uint)index);
        }

        public static int Index(UInt128 key) => (int)(ulong)key;
    }

    private struct Work<TKey, TKeys> : IChunkWork
        where TKey : unmanaged, IComparisonOperators<TKey, TKey, bool>
        where TKeys : struct, IKeys<TKey>
    {
        public byte* X;
        public int* Indices;
        public int Length;
        public int Count;
        public bool Smallest;

        public readonly void Invoke(int chunk, int worker)
        {
            long start = (long)chunk * Length;
            int* indices = Indices + ((long)chunk * Count);
            if (Count <= SmallCount)
            {
                Insert(start, indices);
                return;
            }

            TKey[] keys = new TKey[Length];
            for (int i = 0; i < Length; i++)
            {
                keys[i] = TKeys.Key(X, start + i, i, Smallest);
            }

            keys.AsSpan().Sort();
            for (int k = 0; k < Count; k++)
            {
                indices[k] = TKeys.Index(keys[k]);
            }
        }

        private readonly void Insert(long start, int* indices)
        {
            Span<TKey> best = stackalloc TKey[SmallCount];
            int held = 0;
            for (int i = 0; i < Length; i++)
            {
                TKey key = TKeys.Key(X, start + i, i, Smallest);
                if (held == Count && key > best[Count - 1])
                {
                    continue;
                }

                int at = held < Count ? held++ : Count - 1;
                for (; at > 0 && best[at - 1] > key; at--)
                {
                    best[at] = best[at - 1];
                }

                best[at] = key;
            }

            for (int k = 0; k < Count; k++)
            {
                indices[k] = TKeys.Index(best[k]);
            }
        }
    }
}
