using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Graft.Models.Checkpoints;

/// <summary>Unpacks blocks of the GGUF types to F32. Source of the layouts: ggml's reference code (dequantize_row_*); products d·q are exact in F32.</summary>
internal static class GgmlBlocks
{
    /// <summary>Elements and bytes of a block of a type that can be unpacked; false for others.</summary>
    public static bool TryGetLayout(string typeName, out int elements, out int bytes)
    {
        (elements, bytes) = typeName switch
        {
            "Q4_0" => (32, 18),
            "Q4_1" => (32, 20),
            "Q5_0" => (32, 22),
            "Q5_1" => (32, 24),
            "Q8_0" => (32, 34),
            "Q4_K" => (256, 144),
            "Q5_K" => (256, 176),
            "Q6_K" => (256, 210),
            _ => (1, ElementConversion.Size(typeName)),
        };
        return bytes > 0;
    }

    /// <summary>Unpacks whole blocks; the destination holds exactly their elements. The type is one that <see cref="TryGetLayout"/> knows.</summary>
    public static void Unpack(string typeName, ReadOnlySpan<byte> blocks, Span<float> values)
    {
        _ = TryGetLayout(typeName, out int elements, out int bytes);
        if (elements == 1)
        {
            ElementConversion.ToSingle(typeName, blocks, values);
            return;
        }

        for (int i = 0, at = 0; i < values.Length; i += elements, at += bytes)
        {
            ReadOnlySpan<byte> block = blocks.Slice(at, bytes);
            Span<float> to = values.Slice(i, elements);
            switch (typeName)
            {
                case "Q4_0":
                    Nibbles(Scale(block, 0), -0f, -8, block[2..], to);
                    break;
                case "Q4_1":
                    Nibbles(Scale(block, 0), Scale(block, 2), 0, block[4..], to);
                    break;
                case "Q5_0":
                    FiveBits(Scale(block, 0), -0f, -16, BinaryPrimitives.ReadUInt32LittleEndian(block[2..]), block[6..], to);
                    break;
                case "Q5_1":
                    FiveBits(Scale(block, 0), Scale(block, 2), 0, BinaryPrimitives.ReadUInt32LittleEndian(block[4..]), block[8..], to);
                    break;
                case "Q8_0":
                    Bytes(Scale(block, 0), block[2..], to);
                    break;
                case "Q4_K":
                    GgmlSuperBlocks.Q4K(block, to);
                    break;
                case "Q5_K":
                    GgmlSuperBlocks.Q5K(block, to);
                    break;
                default:
                    GgmlSuperBlocks.Q6K(block, to);
                    break;
            }
        }
    }

    /// <summary>The F16 number at a byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Scale(ReadOnlySpan<byte> block, int at) => (float)BinaryPrimitives.ReadHalfLittleEndian(block[at..]);

    /// <summary>y = d·(q + offset) + m, m = -0 where a type has none, which keeps the sign of zero: low halves of 16 bytes are the elements 0..15, high halves 16..31.</summary>
    private static void Nibbles(float d, float m, int offset, ReadOnlySpan<byte> codes, Span<float> to)
    {
        Vector128<byte> both = Vector128.Create(codes[..16]);
        ref float target = ref MemoryMarshal.GetReference(to[..32]);
        Store(both & Vector128.Create((byte)15), d, m, offset, ref target);
        Store(both >>> 4, d, m, offset, ref Unsafe.Add(ref target, 16));
    }

    /// <summary>Sixteen codes; product and sum are rounded one after the other, as the reference does (the product is exact anyway).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<byte> codes, float d, float m, int offset, ref float to)
    {
        Vector256<int> shift = Vector256.Create(offset);
        Vector256<float> scale = Vector256.Create(d);
        Vector256<float> minimum = Vector256.Create(m);
        Vector256<ushort> wide = Vector256.Create(Vector128.WidenLower(codes), Vector128.WidenUpper(codes));
        Vector256<float> low = Vector256.ConvertToSingle(Vector256.WidenLower(wide).AsInt32() + shift);
        Vector256<float> high = Vector256.ConvertToSingle(Vector256.WidenUpper(wide).AsInt32() + shift);
        ((scale * low) + minimum).StoreUnsafe(ref to);
        ((scale * high) + minimum).StoreUnsafe(ref to, 8);
    }

    private static void FiveBits(float d, float m, int offset, uint high, ReadOnlySpan<byte> codes, Span<float> to)
    {
        for (int i = 0; i < 16; i++)
        {
            int low = (codes[i] & 15) | (int)(((high >> i) & 1) << 4);
            int top = (codes[i] >> 4) | (int)(((high >> (i + 16)) & 1) << 4);
            to[i] = (d * (low + offset)) + m;
            to[i + 16] = (d * (top + offset)) + m;
        }
    }

    private static void Bytes(float d, ReadOnlySpan<byte> codes, Span<float> to)
    {
        Vector256<float> scale = Vector256.Create(d);
        ref float target = ref MemoryMarshal.GetReference(to[..32]);
        for (int i = 0; i < 32; i += 16)
        {
            Vector128<sbyte> signed = Vector128.Create(codes.Slice(i, 16)).AsSByte();
            Vector256<short> wide = Vector256.Create(Vector128.WidenLower(signed), Vector128.WidenUpper(signed));
            (scale * Vector256.ConvertToSingle(Vector256.WidenLower(wide))).StoreUnsafe(ref target, (nuint)i);
            (scale * Vector256.ConvertToSingle(Vector256.WidenUpper(wide))).StoreUnsafe(ref target, (nuint)i + 8);
        }
    }
}
