using System.Numerics;

namespace Graft.Models.Tokenizers;

/// <summary>A hash table from a pair of non-negative integers to two integers; open addressing, built once, read by many threads.</summary>
internal sealed class PairTable
{
    private const ulong Multiplier = 0x9E3779B97F4A7C15;
    private const ulong Free = ulong.MaxValue;

    private ulong[] _keys;
    private (int First, int Second)[] _values;
    private int _shift;
    private int _count;

    public PairTable(int capacity)
    {
        int size = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, 2L * capacity));
        _keys = new ulong[size];
        Array.Fill(_keys, Free);
        _values = new (int, int)[size];
        _shift = 64 - BitOperations.Log2((uint)size);
    }

    public int Count => _count;

    public bool TryGet(int a, int b, out (int First, int Second) value)
    {
        ulong key = ((ulong)(uint)a << 32) | (uint)b;
        ulong[] keys = _keys;
        int mask = keys.Length - 1;
        for (int at = (int)((key * Multiplier) >> _shift); ; at = (at + 1) & mask)
        {
            ulong found = keys[at];
            if (found == key)
            {
                value = _values[at];
                return true;
            }

            if (found == Free)
            {
                value = default;
                return false;
            }
        }
    }

    /// <summary>Sets a value; the last of several holds.</summary>
    public void Set(int a, int b, int first, int second)
    {
        if (2 * (_count + 1) > _keys.Length)
        {
            Grow();
        }

        ulong key = ((ulong)(uint)a << 32) | (uint)b;
        int at = (int)((key * Multiplier) >> _shift);
        while (_keys[at] != Free && _keys[at] != key)
        {
            at = (at + 1) & (_keys.Length - 1);
        }

        _count += _keys[at] == Free ? 1 : 0;
        _keys[at] = key;
        _values[at] = (first, second);
    }

    private void Grow()
    {
        ulong[] keys = _keys;
        (int First, int Second)[] values = _values;
        _keys = new ulong[2 * keys.Length];
        Array.Fill(_keys, Free);
        _values = new (int, int)[_keys.Length];
        _shift--;
        _count = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            if (keys[i] != Free)
            {
                Set((int)(keys[i] >> 32), (int)(uint)keys[i], values[i].First, values[i].Second);
            }
        }
    }
}
