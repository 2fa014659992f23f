using System.Runtime.InteropServices;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>One tensor to be written to a file of weights: its name, type and shape, and a callback that writes its elements in row-major order, little-endian.</summary>
/// <param name="Name">The tensor's name.</param>
/// <param name="Type">The element type.</param>
/// <param name="Shape">Axis lengths, outermost first.</param>
/// <param name="Write">Writes exactly <see cref="ByteCount"/> bytes.</param>
public sealed record TensorSource(string Name, DType Type, Shape Shape, Action<Stream> Write)
{
    /// <summary>The number of bytes to write.</summary>
    public long ByteCount => Shape.Count * Type.Size();

    /// <summary>A tensor whose bytes are in memory.</summary>
    public static TensorSource OfBytes(string name, DType type, Shape shape, ReadOnlyMemory<byte> bytes) => new(name, type, shape, stream => stream.Write(bytes.Span));

    /// <summary>A tensor whose elements are in an array: float, BFloat16, Half, double, long, int, byte or bool.</summary>
    public static TensorSource Of<T>(string name, Shape shape, ReadOnlyMemory<T> elements)
        where T : unmanaged
    {
        return new(name, DTypeExtensions.Of<T>(), shape, stream => WriteElements(stream, elements.Span));
    }

    /// <summary>A tensor on any device, read when it is written: it must be alive until then.</summary>
    public static TensorSource Of(string name, Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        return new(name, tensor.DType, tensor.Shape, stream => tensor.ReadBytesOnHost((bytes, _) => stream.Write(bytes)));
    }

    /// <summary>A tensor copied from an open checkpoint, without conversion.</summary>
    /// <exception cref="CheckpointException">There is none of that name, or its type is not one that can be written.</exception>
    public static TensorSource From(ICheckpoint checkpoint, string name)
    {
        TensorEntry entry = checkpoint.Entry(name);
        DType type = entry.Type ?? throw new CheckpointException($"{checkpoint.Path}: tensor '{name}' holds {entry.TypeName}, which cannot be copied as it is.");
        return new(name, type, entry.Shape, stream =>
        {
            byte[] buffer = new byte[Math.Min(entry.ByteCount, 1 << 20)];
            for (long at = 0; at < entry.ByteCount; at += buffer.Length)
            {
                Span<byte> piece = buffer.AsSpan(0, (int)Math.Min(buffer.Length, entry.ByteCount - at));
                checkpoint.ReadRaw(name, at, piece);
                stream.Write(piece);
            }
        });
    }

    /// <summary>In pieces, because a span of more than 2 GiB has no span of bytes.</summary>
    private static void WriteElements<T>(Stream stream, ReadOnlySpan<T> elements)
        where T : unmanaged
    {
        const int Piece = 1 << 18;
        for (int i = 0; i < elements.Length; i += Piece)
        {
            stream.Write(MemoryMarshal.AsBytes(elements.Slice(i, Math.Min(Piece, elements.Length - i))));
        }
    }
}
