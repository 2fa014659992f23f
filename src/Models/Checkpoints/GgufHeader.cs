using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>The parsed and fully checked front of a GGUF file: metadata and tensor infos. Format: ggml's gguf.md, versions 2 and 3, little-endian.</summary>
internal sealed unsafe class GgufHeader
{
    private const uint Magic = 0x46554747; // "GGUF"
    private const int MaxAxes = 4; // GGML_MAX_DIMS

    private readonly string _path;

    private GgufHeader(string path) => _path = path;

    public uint Version { get; private set; }

    public OrderedDictionary<string, object> Metadata { get; } = new(StringComparer.Ordinal);

    public OrderedDictionary<string, TensorEntry> Tensors { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, GgmlType> Types { get; } = new(StringComparer.Ordinal);

    public static GgufHeader Parse(string path, byte* start, long length)
    {
        GgufHeader header = new(path);
        GgufCursor cursor = new(path, start, length);
        header.Read(ref cursor, length);
        return header;
    }

    private void Read(ref GgufCursor cursor, long length)
    {
        if (cursor.Read<uint>("the magic number") != Magic)
        {
            throw Bad("does not begin with 'GGUF'; this is not a GGUF file");
        }

        Version = cursor.Read<uint>("the version");
        if (Version is not (2 or 3))
        {
            throw Bad(Version << 16 != 0 ? $"has the version {Version}; 2 and 3 can be read" : "is in big-endian byte order; convert it to little-endian");
        }

        ulong tensors = cursor.Read<ulong>("the number of tensors");
        int pairs = cursor.ReadCount(8 + 4 + 1, "the metadata");
        for (int i = 0; i < pairs; i++)
        {
            string key = cursor.ReadText("a metadata key", strict: true);
            if (!Metadata.TryAdd(key, cursor.ReadValue(cursor.Read<uint>(key), key)))
            {
                throw Bad($"the metadata key '{key}' appears twice");
            }
        }

        if (tensors > (ulong)(cursor.Left / (8 + 4 + 4 + 8)))
        {
            throw Bad($"claims {tensors} tensors, more than the {cursor.Left} bytes left can describe; the file is truncated or damaged");
        }

        (TensorEntry Entry, GgmlType Type, ulong Offset)[] infos = new (TensorEntry, GgmlType, ulong)[tensors];
        for (int i = 0; i < infos.Length; i++)
        {
            infos[i] = ReadInfo(ref cursor);
        }

        Place(infos, Align(cursor.At, Alignment()), length);
    }

    private (TensorEntry Entry, GgmlType Type, ulong Offset) ReadInfo(ref GgufCursor cursor)
    {
        string name = cursor.ReadText("a tensor name", strict: true);
        uint rank = cursor.Read<uint>($"the rank of '{name}'");
        if (rank > MaxAxes)
        {
            throw Bad($"tensor '{name}' has {rank} axes; at most {MaxAxes} exist");
        }

        // GGUF lists the innermost axis first.
        Span<int> axes = stackalloc int[MaxAxes];
        Int128 count = 1;
        for (int i = (int)rank - 1; i >= 0; i--)
        {
            ulong axis = cursor.Read<ulong>($"the shape of '{name}'");
            if (axis > int.MaxValue)
            {
                throw Bad($"an axis of tensor '{name}' has the length {axis}; at most {int.MaxValue} can be read");
            }

            axes[i] = (int)axis;
            count *= axes[i]; // at most 2^31 each, four times: 128 bits cannot overflow
        }

        uint id = cursor.Read<uint>($"the type of '{name}'");
        GgmlType type = GgmlType.Of(id) ?? throw Bad($"tensor '{name}' has the unknown type {id}");
        ulong offset = cursor.Read<ulong>($"the offset of '{name}'");
        int row = rank == 0 ? 1 : axes[(int)rank - 1];
        if (row % type.BlockElements != 0)
        {
            throw Bad($"tensor '{name}' has rows of {row} elements, not a multiple of the {type.BlockElements} of a block of {type.Name}");
        }

        Int128 bytes = count / type.BlockElements * type.BlockBytes;
        if (bytes > long.MaxValue)
        {
            throw Bad($"tensor '{name}' claims more than 2^63 bytes");
        }

        return (new TensorEntry(name, type.Name, type.Type, new Shape(axes[..(int)rank]), 0, (long)bytes), type, offset);
    }

    private void Place((TensorEntry Entry, GgmlType Type, ulong Offset)[] infos, long dataStart, long length)
    {
        long alignment = Alignment();
        long dataLength = Math.Max(0, length - dataStart);
        foreach ((TensorEntry entry, GgmlType type, ulong offset) in infos)
        {
            if (offset > (ulong)dataLength || entry.ByteCount > dataLength - (long)offset)
            {
                throw Bad($"tensor '{entry.Name}' claims {entry.ByteCount} bytes from {offset} of data that are {dataLength} bytes long; the file is truncated or damaged");
            }

            if ((long)offset % alignment != 0)
            {
                throw Bad($"tensor '{entry.Name}' begins at {offset}, which is not a multiple of the alignment {alignment}");
            }

            if (!Tensors.TryAdd(entry.Name, entry with { Offset = dataStart + (long)offset }))
            {
                throw Bad($"tensor '{entry.Name}' appears twice");
            }

            Types.Add(entry.Name, type);
        }

        TensorEntry[] sorted = [.. Tensors.Values.Where(t => t.ByteCount > 0).OrderBy(t => t.Offset)];
        for (int i = 1; i < sorted.Length; i++)
        {
            if (sorted[i].Offset < sorted[i - 1].Offset + sorted[i - 1].ByteCount)
            {
                throw Bad($"tensor '{sorted[i].Name}' overlaps tensor '{sorted[i - 1].Name}'");
            }
        }
    }

    private long Alignment()
    {
        if (!Metadata.TryGetValue("general.alignment", out object? value))
        {
            return 32;
        }

        return value is uint alignment and >= 1 and <= 1 << 20 && uint.IsPow2(alignment)
            ? alignment
            : throw Bad($"'general.alignment' = {value} must be a power of two up to 2^20");
    }

    private static long Align(long at, long alignment) => (at + alignment - 1) / alignment * alignment;

    private CheckpointException Bad(string what) => new($"{_path}: {what}.");
}
