using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Graft.Runtime;

/// <summary>The counter-based generator Philox4x32-10: a fixed bijection of a 128-bit counter under a 64-bit key, so any block can be computed alone.</summary>
/// <remarks>Method: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".</remarks>
public static class Philox4x32
{
    internal const uint Multiplier0 = 0xD2511F53;
    internal const uint Multiplier1 = 0xCD9E8D57;
    internal const uint Weyl0 = 0x9E3779B9;
    internal const uint Weyl1 = 0xBB67AE85;
    internal const int Rounds = 10;

    /// <summary>One block: four words from the counter (c0, c1, c2, c3) and the key (k0, k1), lowest word first.</summary>
    public static (uint X0, uint X1, uint X2, uint X3) Block(uint c0, uint c1, uint c2, uint c3, uint k0, uint k1)
    {
        for (int round = 0; round < Rounds; round++)
        {
            ulong p0 = (ulong)Multiplier0 * c0;
            ulong p1 = (ulong)Multiplier1 * c2;
            (c0, c1, c2, c3) = ((uint)(p1 >> 32) ^ c1 ^ k0, (uint)p1, (uint)(p0 >> 32) ^ c3 ^ k1, (uint)p0);
            k0 += Weyl0;
            k1 += Weyl1;
        }

        return (c0, c1, c2, c3);
    }

    /// <summary>
    /// Consecutive blocks: <paramref name="words"/> takes four words each of the counters (block, high), (block + 1, high), ... where block and high are
    /// 64 bits, low word first.
    /// </summary>
    /// <exception cref="ArgumentException">The length of <paramref name="words"/> is not a multiple of four.</exception>
    public static void Fill(ulong block, ulong high, ulong key, Span<uint> words)
    {
        if (words.Length % 4 != 0)
        {
            throw new ArgumentException($"Philox4x32 fills whole blocks of four words; {words.Length} were asked for.", nameof(words));
        }

        int done = 0;
        if (Avx2.IsSupported)
        {
            done = FillEight(block, high, key, words);
        }

        for (; done < words.Length; done += 4)
        {
            ulong at = block + (ulong)(done / 4);
            (uint x0, uint x1, uint x2, uint x3) = Block((uint)at, (uint)(at >> 32), (uint)high, (uint)(high >> 32), (uint)key, (uint)(key >> 32));
            words[done] = x0;
            words[done + 1] = x1;
            words[done + 2] = x2;
            words[done + 3] = x3;
        }
    }

    // One counter per 64-bit lane, a word of it in the lane's low half. The multiply reads low halves only, so what the exclusive-ors leave in
    // the high halves does no harm until the words are put together. Two groups of four counters hide the multiply's latency.
    private static int FillEight(ulong block, ulong high, ulong key, Span<uint> words)
    {
        Vector256<ulong> mask = Vector256.Create(0xFFFF_FFFFUL);
        Vector256<uint> m0 = Vector256.Create((ulong)Multiplier0).AsUInt32();
        Vector256<uint> m1 = Vector256.Create((ulong)Multiplier1).AsUInt32();
        Vector256<ulong> lanes = Vector256<ulong>.Indices;
        Vector256<ulong> highLow = Vector256.Create(high & 0xFFFF_FFFF);
        Vector256<ulong> highHigh = Vector256.Create(high >> 32);
        ref uint destination = ref MemoryMarshal.GetReference(words);
        int done = 0;
        for (; done + 32 <= words.Length; done += 32)
        {
            Vector256<ulong> atA = Vector256.Create(block + (ulong)(done / 4)) + lanes;
            Vector256<ulong> atB = atA + Vector256.Create(4UL);
            Vector256<ulong> a0 = atA, a1 = atA >>> 32, a2 = highLow, a3 = highHigh;
            Vector256<ulong> b0 = atB, b1 = atB >>> 32, b2 = highLow, b3 = highHigh;
            uint k0 = (uint)key, k1 = (uint)(key >> 32);
            for (int round = 0; round < Rounds; round++)
            {
                Vector256<ulong> key0 = Vector256.Create((ulong)k0), key1 = Vector256.Create((ulong)k1);
                Vector256<ulong> p0 = Avx2.Multiply(a0.AsUInt32(), m0), p1 = Avx2.Multiply(a2.AsUInt32(), m1);
                Vector256<ulong> q0 = Avx2.Multiply(b0.AsUInt32(), m0), q1 = Avx2.Multiply(b2.AsUInt32(), m1);
                (a0, a1, a2, a3) = ((p1 >>> 32) ^ a1 ^ key0, p1, (p0 >>> 32) ^ a3 ^ key1, p0);
                (b0, b1, b2, b3) = ((q1 >>> 32) ^ b1 ^ key0, q1, (q0 >>> 32) ^ b3 ^ key1, q0);
                k0 += Weyl0;
                k1 += Weyl1;
            }

            Store(ref Unsafe.Add(ref destination, done), (a0 & mask) | (a1 << 32), (a2 & mask) | (a3 << 32));
            Store(ref Unsafe.Add(ref destination, done + 16), (b0 & mask) | (b1 << 32), (b2 & mask) | (b3 << 32));
        }

        return done;
    }

    // front holds words 0 and 1 of counters 0..3, back words 2 and 3; unpacking gives counters (0, 2) and (1, 3) whole, one per 128-bit half.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(ref uint destination, Vector256<ulong> front, Vector256<ulong> back)
    {
        Vector256<ulong> even = Avx2.UnpackLow(front, back);
        Vector256<ulong> odd = Avx2.UnpackHigh(front, back);
        Avx2.Permute2x128(even, odd, 0x20).AsUInt32().StoreUnsafe(ref destination);
        Avx2.Permute2x128(even, odd, 0x31).AsUInt32().StoreUnsafe(ref destination, 8);
    }
}
