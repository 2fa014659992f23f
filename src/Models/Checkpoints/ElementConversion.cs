using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Stored elements to F32 and BF16. Sources need no alignment: a header of any length may precede them.</summary>
internal static class ElementConversion
{
    /// <summary>Bytes of one element of a plain (not block-quantised) type that has a conversion, 0 for others.</summary>
    public static int Size(string typeName) => typeName switch
    {
        "F64" or "I64" => 8,
        "F32" or "I32" => 4,
        "F16" or "BF16" or "I16" => 2,
        "I8" or "U8" or "BOOL" => 1,
        _ => 0,
    };

    /// <summary>Converts as many elements as the destination holds; the type is one with <see cref="Size"/> above 0.</summary>
    public static void ToSingle(string typeName, ReadOnlySpan<byte> source, Span<float> destination)
    {
        switch (typeName)
        {
            case "F32":
                source.CopyTo(MemoryMarshal.AsBytes(destination));
                break;
            case "BF16":
                WidenBFloat16(source, destination);
                break;
            case "F16":
                TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(source), destination);
                break;
            case "F64":
                Convert<double>(source, destination, static v => (float)v);
                break;
            case "I64":
                Convert<long>(source, destination, static v => v);
                break;
            case "I32":
                Convert<int>(source, destination, static v => v);
                break;
            case "I16":
                Convert<short>(source, destination, static v => v);
                break;
            case "I8":
                Convert<sbyte>(source, destination, static v => v);
                break;
            default:
                Convert<byte>(source, destination, static v => v);
                break;
        }
    }

    /// <summary>Converts as many elements as the destination holds, by way of F32 except for BF16 itself.</summary>
    public static void ToBFloat16(string typeName, ReadOnlySpan<byte> source, Span<BFloat16> destination)
    {
        if (typeName == "BF16")
        {
            source.CopyTo(MemoryMarshal.AsBytes(destination));
            return;
        }

        const int Piece = 1024;
        Span<float> piece = stackalloc float[Piece];
        int size = Size(typeName);
        for (int i = 0; i < destination.Length; i += Piece)
        {
            int count = Math.Min(Piece, destination.Length - i);
            ToSingle(typeName, source.Slice(i * size, count * size), piece[..count]);
            Round(piece[..count], destination.Slice(i, count));
        }
    }

    /// <summary>F32 to BF16, nearest, ties to even.</summary>
    public static void Round(ReadOnlySpan<float> source, Span<BFloat16> destination)
    {
        for (int i = 0; i < source.Length; i++)
        {
            destination[i] = (BFloat16)source[i];
        }
    }

    private static void Convert<T>(ReadOnlySpan<byte> source, Span<float> destination, Func<T, float> convert)
        where T : unmanaged
    {
        int size = Unsafe.SizeOf<T>();
        for (int i = 0; i < destination.Length; i++)
        {
            destination[i] = convert(Unsafe.ReadUnaligned<T>(in source[i * size]));
        }
    }

    private static void WidenBFloat16(ReadOnlySpan<byte> source, Span<float> destination)
    {
        int i = 0;
        ref byte from = ref MemoryMarshal.GetReference(source);
        ref uint to = ref Unsafe.As<float, uint>(ref MemoryMarshal.GetReference(destination));
        for (; i <= destination.Length - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            // A BF16 value is the upper half of the F32 one: widen, then shift it up. Vector loads take any address.
            Vector256<ushort> halves = Vector256.LoadUnsafe(ref Unsafe.As<byte, ushort>(ref from), (nuint)i);
            (Vector256.WidenLower(halves) << 16).StoreUnsafe(ref to, (nuint)i);
            (Vector256.WidenUpper(halves) << 16).StoreUnsafe(ref to, (nuint)(i + Vector256<uint>.Count));
        }

        for (; i < destination.Length; i++)
        {
            Unsafe.Add(ref to, i) = (uint)Unsafe.ReadUnaligned<ushort>(in source[i * 2]) << 16;
        }
    }
}
