using System.Runtime.Intrinsics;

namespace Graft.Runtime;

/// <summary>
/// Random numbers by position: element i of the stream (seed, name, step) is the same on every device, at any world size and after any resume.
/// </summary>
/// <remarks>
/// Nothing is consumed: two calls with the same arguments give the same numbers, so each use takes a stream of its own.
/// Key = mix(mix(seed) + FNV-1a-64(UTF-8 of the name)), mix being the finaliser of SplitMix64; counter = (block as 64 bits, step as 64 bits); element i
/// is word i mod 4 of block i / 4
/// of <see cref="Philox4x32"/>. A stream of a stream has the name "outer/inner".
/// </remarks>
public readonly struct Rng
{
    private const ulong HashBasis = 0xCBF29CE484222325;
    private const ulong HashPrime = 0x100000001B3;
    private const int Chunk = 512;

    private readonly ulong _hash;

    /// <summary>The unnamed stream of a seed at step 0.</summary>
    public Rng(ulong seed)
        : this(seed, HashBasis, 0)
    {
    }

    private Rng(ulong seed, ulong hash, long step)
    {
        Seed = seed;
        _hash = hash;
        Step = step;
    }

    /// <summary>The seed of the run.</summary>
    public ulong Seed { get; }

    /// <summary>The step that the numbers belong to; 0 unless set by <see cref="At"/>.</summary>
    public long Step { get; }

    /// <summary>The Philox key of this seed and name, for kernels that draw the same numbers on a device.</summary>
    public ulong Key => Mix(Mix(Seed) + _hash);

    /// <summary>The stream of this name below this one, for example `lora.q_proj.A`. Different names give unrelated numbers.</summary>
    /// <exception cref="ArgumentException">The name is empty.</exception>
    public Rng Stream(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ulong hash = _hash == HashBasis ? _hash : (_hash ^ '/') * HashPrime;
        foreach (byte b in System.Text.Encoding.UTF8.GetBytes(name))
        {
            hash = (hash ^ b) * HashPrime;
        }

        return new Rng(Seed, hash, Step);
    }

    /// <summary>The same stream at another step.</summary>
    public Rng At(long step) => new(Seed, _hash, step);

    /// <summary>The 32 random bits of one element.</summary>
    public uint Bits(long element)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(element);
        ulong key = Key;
        ulong block = (ulong)element >> 2;
        (uint x0, uint x1, uint x2, uint x3) = Philox4x32.Block(
            (uint)block, (uint)(block >> 32), (uint)Step, (uint)((ulong)Step >> 32), (uint)key, (uint)(key >> 32));
        return (element & 3) switch { 0 => x0, 1 => x1, 2 => x2, _ => x3 };
    }

    /// <summary>The 64 random bits made of elements 2i (low) and 2i + 1 (high).</summary>
    public ulong Bits64(long index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ulong key = Key;
        ulong block = (ulong)index >> 1;
        (uint x0, uint x1, uint x2, uint x3) = Philox4x32.Block(
            (uint)block, (uint)(block >> 32), (uint)Step, (uint)((ulong)Step >> 32), (uint)key, (uint)(key >> 32));
        return (index & 1) == 0 ? x0 | ((ulong)x1 << 32) : x2 | ((ulong)x3 << 32);
    }

    /// <summary>The number below <paramref name="bound"/> at an index, from <see cref="Bits64"/> by multiplication; its bias is below bound / 2^64.</summary>
    public int Below(long index, int bound)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bound, 1);
        return (int)Math.BigMul(Bits64(index), (ulong)bound, out _);
    }

    /// <summary>The bits of elements <paramref name="firstElement"/> and on: the fast way to many.</summary>
    public void FillBits(long firstElement, Span<uint> bits)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstElement);
        int done = 0;
        while (done < bits.Length && ((firstElement + done) & 3) != 0)
        {
            bits[done] = Bits(firstElement + done);
            done++;
        }

        int whole = (bits.Length - done) & ~3;
        Philox4x32.Fill((ulong)(firstElement + done) >> 2, (ulong)Step, Key, bits.Slice(done, whole));
        for (done += whole; done < bits.Length; done++)
        {
            bits[done] = Bits(firstElement + done);
        }
    }

    /// <summary>Uniform numbers in [0, 1) on a grid of 2^-24: (bits &gt;&gt; 8) / 2^24.</summary>
    public void FillUniform(long firstElement, Span<float> values) => FillUniform(firstElement, values, 0, 1);

    /// <summary>
    /// Uniform numbers lo + (hi - lo) u with u of [0, 1) on a grid of 2^-24, one fused multiply-add each; rounding may reach <paramref name="high"/>.
    /// </summary>
    public void FillUniform(long firstElement, Span<float> values, float low, float high)
    {
        Span<uint> bits = stackalloc uint[Chunk];
        float scale = (high - low) * (1f / (1 << 24)); // a power of two: exact
        while (values.Length > 0)
        {
            int count = Math.Min(Chunk, values.Length);
            FillBits(firstElement, bits[..count]);
            int i = 0;
            for (; i + Vector256<uint>.Count <= count; i += Vector256<uint>.Count)
            {
                Vector256<float> u = Vector256.ConvertToSingle((Vector256.Create<uint>(bits.Slice(i, 8)) >>> 8).AsInt32());
                Vector256.FusedMultiplyAdd(u, Vector256.Create(scale), Vector256.Create(low)).CopyTo(values[i..]);
            }

            for (; i < count; i++)
            {
                values[i] = MathF.FusedMultiplyAdd(bits[i] >> 8, scale, low);
            }

            values = values[count..];
            firstElement += count;
        }
    }

    /// <summary>
    /// Normal numbers mean + deviation · n, with n the standard normal of the element: elements 2j and 2j + 1 are a Box-Muller pair of their own bits.
    /// </summary>
    public void FillNormal(long firstElement, Span<float> values, float mean = 0, float deviation = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstElement);
        Span<uint> bits = stackalloc uint[Chunk];
        Span<float> pairs = stackalloc float[Chunk];
        while (values.Length > 0)
        {
            int skip = (int)(firstElement & 1);
            int count = Math.Min(Chunk - skip, values.Length);
            int padded = (count + skip + 15) & ~15;
            FillBits(firstElement - skip, bits[..padded]);
            BoxMuller.Transform(bits[..padded], pairs);
            Scale(pairs.Slice(skip, count), mean, deviation, values);
            values = values[count..];
            firstElement += count;
        }
    }

    /// <summary>The standard normal number of one element, the same bits as from <see cref="FillNormal"/>.</summary>
    public float Normal(long element)
    {
        Span<float> one = stackalloc float[1];
        FillNormal(element, one);
        return one[0];
    }

    /// <summary>The uniform number of one element in [0, 1), the same bits as from the fill.</summary>
    public float Uniform(long element) => (Bits(element) >> 8) * (1f / (1 << 24));

    /// <summary>
    /// A permutation of 0 to n - 1, each equally likely: Fisher-Yates from the end, entry i exchanged with entry <see cref="Below"/>(i, i + 1).
    /// </summary>
    public int[] Permutation(int n)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(n);
        int[] order = new int[n];
        for (int i = 0; i < n; i++)
        {
            order[i] = i;
        }

        for (int i = n - 1; i > 0; i--)
        {
            int j = Below(i, i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }

    /// <summary>A reader of this stream that keeps its own position, for code that draws an unknown number of values.</summary>
    public RngSequence Sequence(long position = 0) => new(this, position);

    private static void Scale(ReadOnlySpan<float> source, float mean, float deviation, Span<float> values)
    {
        int i = 0;
        for (; i + Vector256<float>.Count <= source.Length; i += Vector256<float>.Count)
        {
            Vector256.FusedMultiplyAdd(Vector256.Create(source.Slice(i, 8)), Vector256.Create(deviation), Vector256.Create(mean)).CopyTo(values[i..]);
        }

        for (; i < source.Length; i++)
        {
            values[i] = MathF.FusedMultiplyAdd(source[i], deviation, mean);
        }
    }

    private static ulong Mix(ulong x)
    {
        x += 0x9E3779B97F4A7C15;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }
}
