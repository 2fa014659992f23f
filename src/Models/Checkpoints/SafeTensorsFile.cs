using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>A safetensors file, memory-mapped. The header is checked whole before anything is trusted: lengths, types, ranges, overlaps, holes.</summary>
/// <remarks>Format: huggingface.co/docs/safetensors. The file must not be truncated by others while it is open.</remarks>
public sealed unsafe class SafeTensorsFile : ICheckpoint
{
    private readonly MappedFile _file;
    private readonly SafeTensorsHeader _header;

    private SafeTensorsFile(MappedFile file, SafeTensorsHeader header)
    {
        _file = file;
        _header = header;
    }

    /// <inheritdoc/>
    public string Path => _file.Path;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => _header.Tensors;

    /// <summary>The strings under `__metadata__`; empty where there are none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <summary>Maps a file and checks its header.</summary>
    /// <exception cref="CheckpointException">The file cannot be read or is not valid; names file and tensor.</exception>
    public static SafeTensorsFile Open(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        MappedFile file = MappedFile.Open(path, 8 + 2);
        try
        {
            int length = 0;
            file.Use(0, 8, bytes => length = SafeTensorsHeader.Length(path, bytes, file.Length));
            SafeTensorsHeader? header = null;
            file.Use(8, length, bytes => header = SafeTensorsHeader.Parse(path, bytes, file.Length));
            return new SafeTensorsFile(file, header!);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The bytes of a tensor in the mapping, valid until Dispose. For tensors of 2 GiB and more use the overload with a range.</summary>
    public ReadOnlySpan<byte> Bytes(string name)
    {
        TensorEntry entry = this.Entry(name);
        return entry.ByteCount <= int.MaxValue
            ? Bytes(name, 0, (int)entry.ByteCount)
            : throw new CheckpointException($"{Path}: tensor '{name}' has {entry.ByteCount} bytes, too many for one span; ask for a range.");
    }

    /// <summary>A range of a tensor's bytes in the mapping, valid until Dispose.</summary>
    public ReadOnlySpan<byte> Bytes(string name, long firstByte, int count)
    {
        TensorEntry entry = this.Entry(name);
        CheckRange(entry, firstByte, count, entry.ByteCount, "bytes");
        ReadOnlySpan<byte> bytes = new(_file.Acquire() + entry.Offset + firstByte, count);
        _file.Release();
        return bytes;
    }

    /// <inheritdoc/>
    public void Read(string name, long firstElement, Span<float> destination)
    {
        TensorEntry entry = this.Entry(name);
        int size = Convertible(entry, firstElement, destination.Length);
        byte* at = _file.Acquire() + entry.Offset + firstElement * size;
        try
        {
            // In pieces, so that a piece's bytes always fit a span.
            for (int i = 0; i < destination.Length; i += Piece)
            {
                int count = Math.Min(Piece, destination.Length - i);
                ElementConversion.ToSingle(entry.TypeName, new ReadOnlySpan<byte>(at + (long)i * size, count * size), destination.Slice(i, count));
            }
        }
        finally
        {
            _file.Release();
        }
    }

    /// <inheritdoc/>
    public void Read(string name, long firstElement, Span<BFloat16> destination)
    {
        TensorEntry entry = this.Entry(name);
        int size = Convertible(entry, firstElement, destination.Length);
        byte* at = _file.Acquire() + entry.Offset + firstElement * size;
        try
        {
            for (int i = 0; i < destination.Length; i += Piece)
            {
                int count = Math.Min(Piece, destination.Length - i);
                ElementConversion.ToBFloat16(entry.TypeName, new ReadOnlySpan<byte>(at + (long)i * size, count * size), destination.Slice(i, count));
            }
        }
        finally
        {
            _file.Release();
        }
    }

    /// <inheritdoc/>
    public void ReadRaw(string name, long firstByte, Span<byte> destination)
    {
        TensorEntry entry = this.Entry(name);
        CheckRange(entry, firstByte, destination.Length, entry.ByteCount, "bytes");
        byte* at = _file.Acquire() + entry.Offset + firstByte;
        try
        {
            new ReadOnlySpan<byte>(at, destination.Length).CopyTo(destination);
        }
        finally
        {
            _file.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private const int Piece = 1 << 24;

    private int Convertible(TensorEntry entry, long first, int count)
    {
        int size = ElementConversion.Size(entry.TypeName);
        if (size == 0)
        {
            throw new CheckpointException($"{Path}: tensor '{entry.Name}' holds {entry.TypeName}, which has no conversion; readable are F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL.");
        }

        CheckRange(entry, first, count, entry.Shape.Count, "elements");
        return size;
    }

    private void CheckRange(TensorEntry entry, long first, long count, long total, string unit)
    {
        if (first < 0 || first > total || count > total - first)
        {
            throw new CheckpointException($"{Path}: {count} {unit} from {first} were asked of tensor '{entry.Name}' {entry.Shape}, which has {total}.");
        }
    }
}
