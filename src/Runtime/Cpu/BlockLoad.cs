using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Graft.Runtime.Cpu;

/// <summary>Reads blocks of a quantised matrix: an element is scale · code + minimum. A type argument, as <see cref="IElementLoad"/>.</summary>
internal unsafe interface IBlockLoad
{
    /// <summary>Bytes of a block.</summary>
    static abstract int Bytes { get; }

    /// <summary>Whether a block has a minimum beside its scale (both F16, at its front).</summary>
    static abstract bool HasMinimum { get; }

    /// <summary>Bytes to prefetch ahead; 0 leaves it to the processor.</summary>
    static abstract int Ahead { get; }

    /// <summary>What <see cref="Codes(byte*, out Vector512{float}, out Vector512{float})"/> multiplies the codes of elements 16..31 by: a power of two.</summary>
    static abstract float HighFactor { get; }

    /// <summary>The codes of elements 0..15, and of 16..31 times <see cref="HighFactor"/>, as floats.</summary>
    static abstract void Codes(byte* block, out Vector512<float> low, out Vector512<float> high);

    /// <summary>The codes of elements at..at+7; at is 0, 8, 16 or 24.</summary>
    static abstract Vector256<float> Codes(byte* block, int at);

    /// <summary>The code of an element.</summary>
    static abstract int Code(byte* block, int at);
}

/// <summary>Q4_0.</summary>
internal readonly unsafe struct LoadQ40 : IBlockLoad
{
    public static int Bytes => 18;

    public static bool HasMinimum => false;

    public static int Ahead => Nibbles.Ahead;

    public static float HighFactor => Nibbles.HighFactor;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes(byte* block, out Vector512<float> low, out Vector512<float> high)
    {
        Vector512<int> packed = Nibbles.Sixteen(block + 2);
        low = Nibbles.Low(packed, Vector512.Create(-8f, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7));
        high = Vector512.ConvertToSingle((packed & Vector512.Create(0xF0)) - Vector512.Create(8 * 16));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Codes(byte* block, int at) => Vector256.ConvertToSingle(Nibbles.Eight(block + 2, at) - Vector256.Create(8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Code(byte* block, int at) => Nibbles.One(block + 2, at) - 8;
}

/// <summary>Q4_1.</summary>
internal readonly unsafe struct LoadQ41 : IBlockLoad
{
    public static int Bytes => 20;

    public static bool HasMinimum => true;

    public static int Ahead => Nibbles.Ahead;

    public static float HighFactor => Nibbles.HighFactor;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes(byte* block, out Vector512<float> low, out Vector512<float> high)
    {
        Vector512<int> packed = Nibbles.Sixteen(block + 4);
        low = Nibbles.Low(packed, Vector512.Create(0f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
        high = Vector512.ConvertToSingle(packed & Vector512.Create(0xF0));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Codes(byte* block, int at) => Vector256.ConvertToSingle(Nibbles.Eight(block + 4, at));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Code(byte* block, int at) => Nibbles.One(block + 4, at);
}

/// <summary>Q8_0.</summary>
internal readonly unsafe struct LoadQ80 : IBlockLoad
{
    public static int Bytes => 34;

    public static bool HasMinimum => false;

    public static int Ahead => 0; // 5 to 10 % slower with it

    public static float HighFactor => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes(byte* block, out Vector512<float> low, out Vector512<float> high)
    {
        low = Sixteen(block + 2);
        high = Sixteen(block + 18);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Codes(byte* block, int at)
    {
        Vector128<sbyte> codes = Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<long>(block + 2 + at)).AsSByte();
        return Vector256.ConvertToSingle(Avx2.IsSupported ? Avx2.ConvertToVector256Int32(codes) : Vector256.WidenLower(Vector128.WidenLower(codes).ToVector256()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Code(byte* block, int at) => (sbyte)block[2 + at];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Sixteen(byte* codes)
    {
        Vector128<sbyte> packed = Vector128.Load((sbyte*)codes);
        return Avx512F.IsSupported
            ? Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(packed))
            : Vector512.ConvertToSingle(Vector512.WidenLower(Vector256.WidenLower(packed.ToVector256()).ToVector512()));
    }
}

/// <summary>Sixteen bytes of four-bit codes: low halves are the elements 0..15, high halves 16..31.</summary>
internal static unsafe class Nibbles
{
    /// <summary>A page: reading is slow enough that the processor's own prefetch does not run far ahead. 1536 x 576 outside of the caches, Zen 4: 7.5 GB/s a core without, 10 with it.</summary>
    public const int Ahead = 4096;

    /// <summary>High halves are used where they stand in their bytes: 16 times the code.</summary>
    public const float HighFactor = 16;

    /// <summary>The bytes as numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Sixteen(byte* codes)
    {
        Vector128<byte> packed = Vector128.Load(codes);
        return Avx512F.IsSupported
            ? Avx512F.ConvertToVector512Int32(packed)
            : Vector512.WidenLower(Vector256.WidenLower(packed.ToVector256()).ToVector512()).AsInt32();
    }

    /// <summary>The values of the low halves, by a permutation of the sixteen possible ones, which reads the low four bits of each index and ignores the others.</summary>
    /// <remarks>Low halves by permutation and high ones by conversion: the two take different ports of Zen 4, and two permutations share one.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Low(Vector512<int> packed, Vector512<float> values)
    {
        return Avx512F.IsSupported ? Avx512F.PermuteVar16x32(values, packed) : Vector512.Shuffle(values, packed & Vector512.Create(15));
    }

    /// <summary>Codes at..at+7.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Eight(byte* codes, int at)
    {
        Vector128<byte> packed = Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<long>(codes + (at & 15))).AsByte();
        Vector256<int> wide = Avx2.IsSupported ? Avx2.ConvertToVector256Int32(packed) : Vector256.WidenLower(Vector128.WidenLower(packed).ToVector256()).AsInt32();
        return at < 16 ? wide & Vector256.Create(15) : wide >>> 4;
    }

    /// <summary>The code of an element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int One(byte* codes, int at) => at < 16 ? codes[at] & 15 : codes[at - 16] >> 4;
}

/// <summary>All F16 numbers as F32: a scale is one load, which also spreads it over a register. The processor's own conversion has no intrinsic in .NET 10.</summary>
internal static unsafe class HalfTable
{
    private static readonly float[] s_values = Create();

    /// <summary>The number of each of the 65536 patterns; pinned for ever. Scales of a model lie in a few binades, hence a few KiB of it are in use.</summary>
    public static readonly float* Values = (float*)Unsafe.AsPointer(ref s_values[0]);

    private static float[] Create()
    {
        float[] values = GC.AllocateUninitializedArray<float>(1 << 16, pinned: true);
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)BitConverter.UInt16BitsToHalf((ushort)i);
        }

        return values;
    }
}

/// <summary>Single elements of a quantised matrix by their number, for packing: rows are whole blocks, so that a number says the block.</summary>
internal readonly unsafe struct LoadBlocks<TBlock> : IElementLoad
    where TBlock : IBlockLoad
{
    /// <summary>An element has no bytes of its own.</summary>
    public static int Size => 0;

    public static float One(void* from, long at)
    {
        byte* block = (byte*)from + ((at >> 5) * TBlock.Bytes);
        float product = HalfTable.Values[*(ushort*)block] * TBlock.Code(block, (int)at & 31);
        return TBlock.HasMinimum ? product + HalfTable.Values[((ushort*)block)[1]] : product;
    }

    public static Vector128<float> Four(void* from, long at) => Vector128.Create(One(from, at), One(from, at + 1), One(from, at + 2), One(from, at + 3));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Eight(void* from, long at)
    {
        return (at & 7) == 0 ? Aligned(from, at) : Vector256.Create(Four(from, at), Four(from, at + 4));
    }

    public static Vector512<float> Sixteen(void* from, long at) => Vector512.Create(Eight(from, at), Eight(from, at + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Aligned(void* from, long at)
    {
        byte* block = (byte*)from + ((at >> 5) * TBlock.Bytes);
        Vector256<float> product = TBlock.Codes(block, (int)at & 31) * Vector256.Create(HalfTable.Values[*(ushort*)block]);
        return TBlock.HasMinimum ? product + Vector256.Create(HalfTable.Values[((ushort*)block)[1]]) : product;
    }
}
