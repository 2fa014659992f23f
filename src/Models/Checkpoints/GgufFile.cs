using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>A GGUF file (version 2 or 3), memory-mapped: metadata, and tensors under the names and in the row order of the file. All offsets are checked before use.</summary>
/// <remarks>Types F32, F16, BF16, F64, integers, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K are unpacked; others are listed and refused by name when read.
/// For Hugging Face names and row order see <see cref="GgufCheckpoint"/>.</remarks>
public sealed unsafe class GgufFile : ICheckpoint
{
    private readonly MappedFile _file;
    private readonly GgufHeader _header;

    private GgufFile(MappedFile file, GgufHeader header) => (_file, _header) = (file, header);

    /// <inheritdoc/>
    public string Path => _file.Path;

    /// <summary>2 or 3.</summary>
    public int Version => (int)_header.Version;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => _header.Tensors;

    /// <summary>Every metadata value as its .NET type: numbers, bool, string, arrays of these (`string[]`, `int[]`, ...), object[] for lists of lists.</summary>
    public IReadOnlyDictionary<string, object> Metadata => _header.Metadata;

    /// <summary>Maps a file and checks its metadata and tensor infos.</summary>
    /// <exception cref="CheckpointException">The file cannot be read or is not valid; names file and tensor or key.</exception>
    public static GgufFile Open(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        MappedFile file = MappedFile.Open(path, 24);
        try
        {
            byte* start = file.Acquire();
            try
            {
                return new GgufFile(file, GgufHeader.Parse(path, start, file.Length));
            }
            finally
            {
                file.Release();
            }
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Read(string name, long firstElement, Span<float> destination)
    {
        TensorEntry entry = Check(name, firstElement, destination.Length, out int elements, out int bytes);
        byte* start = _file.Acquire() + entry.Offset;
        try
        {
            int done = 0;
            Span<float> partial = stackalloc float[256];
            while (done < destination.Length)
            {
                long block = (firstElement + done) / elements;
                int skip = (int)((firstElement + done) % elements);
                int whole = skip == 0 ? Math.Min((destination.Length - done) / elements, (1 << 22) / elements) : 0;
                if (whole > 0)
                {
                    GgmlBlocks.Unpack(entry.TypeName, new ReadOnlySpan<byte>(start + (block * bytes), whole * bytes), destination.Slice(done, whole * elements));
                    done += whole * elements;
                    continue;
                }

                // The range begins or ends inside this block.
                GgmlBlocks.Unpack(entry.TypeName, new ReadOnlySpan<byte>(start + (block * bytes), bytes), partial[..elements]);
                int count = Math.Min(elements - skip, destination.Length - done);
                partial.Slice(skip, count).CopyTo(destination[done..]);
                done += count;
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
        TensorEntry entry = Check(name, firstElement, destination.Length, out _, out _);
        if (entry.Type == DType.BF16)
        {
            ReadRaw(name, firstElement * 2, System.Runtime.InteropServices.MemoryMarshal.AsBytes(destination));
            return;
        }

        const int Piece = 4096;
        Span<float> piece = stackalloc float[Piece];
        for (int i = 0; i < destination.Length; i += Piece)
        {
            int count = Math.Min(Piece, destination.Length - i);
            Read(name, firstElement + i, piece[..count]);
            ElementConversion.Round(piece[..count], destination.Slice(i, count));
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

    /// <summary>The block layout of a tensor's type, also of types that are not unpacked.</summary>
    internal GgmlType TypeOf(string name) => _header.Types[this.Entry(name).Name];

    private TensorEntry Check(string name, long first, int count, out int elements, out int bytes)
    {
        TensorEntry entry = this.Entry(name);
        if (!GgmlBlocks.TryGetLayout(entry.TypeName, out elements, out bytes))
        {
            throw new CheckpointException(
                $"{Path}: tensor '{name}' holds {entry.TypeName} blocks, which cannot be unpacked; readable are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K. Requantise the file to one of these.");
        }

        CheckRange(entry, first, count, entry.Shape.Count, "elements");
        return entry;
    }

    private void CheckRange(TensorEntry entry, long first, long count, long total, string unit)
    {
        if (first < 0 || first > total || count > total - first)
        {
            throw new CheckpointException($"{Path}: {count} {unit} from {first} were asked of tensor '{entry.Name}' {entry.Shape}, which has {total}.");
        }
    }
}
