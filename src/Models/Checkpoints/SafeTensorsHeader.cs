using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Unicode;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>The parsed and fully checked header of a safetensors file.</summary>
/// <remarks>Layout: 8 bytes little-endian length N, N bytes JSON, data. Format: huggingface.co/docs/safetensors. Nothing is allocated by a claimed size.</remarks>
internal sealed class SafeTensorsHeader
{
    /// <summary>The largest header read, as in the reference implementation.</summary>
    public const long MaxBytes = 100_000_000;

    private readonly string _path;
    private readonly long _dataStart;
    private readonly long _dataLength;
    private readonly OrderedDictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _metadata = new(StringComparer.Ordinal);

    private SafeTensorsHeader(string path, long dataStart, long dataLength)
    {
        _path = path;
        _dataStart = dataStart;
        _dataLength = dataLength;
    }

    public OrderedDictionary<string, TensorEntry> Tensors => _tensors;

    public Dictionary<string, string> Metadata => _metadata;

    /// <summary>The header's length in bytes, read from the first eight bytes and checked against the file.</summary>
    public static int Length(string path, ReadOnlySpan<byte> first8, long fileLength)
    {
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(first8);
        if (length > MaxBytes)
        {
            throw new CheckpointException($"{path}: claims a header of {length} bytes; at most {MaxBytes} are read. This is not a safetensors file, or it is damaged.");
        }

        return (long)length <= fileLength - 8 && length >= 2
            ? (int)length
            : throw new CheckpointException($"{path}: claims a header of {length} bytes, but {fileLength - 8} follow the first 8; the file is truncated or damaged.");
    }

    public static SafeTensorsHeader Parse(string path, ReadOnlySpan<byte> json, long fileLength)
    {
        SafeTensorsHeader header = new(path, 8 + json.Length, fileLength - 8 - json.Length);
        if (json[0] != (byte)'{' || !Utf8.IsValid(json))
        {
            throw new CheckpointException($"{path}: the header is not a JSON object in UTF-8; this is not a safetensors file, or it is damaged.");
        }

        try
        {
            header.ReadObject(json);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or OverflowException)
        {
            throw new CheckpointException($"{path}: the header is not valid: {e.Message}", e);
        }

        header.CheckCover();
        return header;
    }

    private void ReadObject(ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = 8 });
        _ = reader.Read();
        bool hasMetadata = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            _ = reader.Read();
            if (name == "__metadata__")
            {
                if (hasMetadata)
                {
                    throw Bad("the key '__metadata__' appears twice");
                }

                hasMetadata = true;
                ReadMetadata(ref reader);
            }
            else if (!_tensors.TryAdd(name, ReadTensor(name, ref reader)))
            {
                throw Bad($"tensor '{name}' appears twice");
            }
        }

        while (reader.Read())
        {
        }
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            return;
        }

        Expect(ref reader, JsonTokenType.StartObject, "'__metadata__' must be an object of strings");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            _ = reader.Read();
            Expect(ref reader, JsonTokenType.String, $"'__metadata__.{key}' must be a string");
            if (!_metadata.TryAdd(key, reader.GetString()!))
            {
                throw Bad($"'__metadata__.{key}' appears twice");
            }
        }
    }

    private TensorEntry ReadTensor(string name, ref Utf8JsonReader reader)
    {
        Expect(ref reader, JsonTokenType.StartObject, $"the value of tensor '{name}' must be an object");
        string? code = null;
        long[]? shape = null;
        long[]? range = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            _ = reader.Read();
            bool again = false;
            switch (key)
            {
                case "dtype":
                    again = code is not null;
                    Expect(ref reader, JsonTokenType.String, $"the dtype of tensor '{name}' must be a string");
                    code = reader.GetString();
                    break;
                case "shape":
                    again = shape is not null;
                    shape = ReadNumbers(name, key, Shape.MaxRank, ref reader);
                    break;
                case "data_offsets":
                    again = range is not null;
                    range = ReadNumbers(name, key, 2, ref reader);
                    break;
                default:
                    reader.Skip();
                    break;
            }

            if (again)
            {
                throw Bad($"the key '{key}' of tensor '{name}' appears twice");
            }
        }

        if (code is null || shape is null || range is not { Length: 2 })
        {
            throw Bad($"tensor '{name}' needs dtype, shape and two data_offsets");
        }

        return Check(name, code, shape, range[0], range[1]);
    }

    private long[] ReadNumbers(string name, string key, int most, ref Utf8JsonReader reader)
    {
        Expect(ref reader, JsonTokenType.StartArray, $"the {key} of tensor '{name}' must be a list");
        Span<long> numbers = stackalloc long[Shape.MaxRank];
        int count = 0;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (count == most)
            {
                throw Bad($"the {key} of tensor '{name}' has more than the {most} numbers that can be read");
            }

            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long number) || number < 0)
            {
                throw Bad($"the {key} of tensor '{name}' must be whole numbers, zero or more, below 2^63");
            }

            numbers[count++] = number;
        }

        return numbers[..count].ToArray();
    }

    private TensorEntry Check(string name, string code, long[] lengths, long begin, long end)
    {
        if (!SafeTensorsType.TryGet(code, out int bits, out DType? type))
        {
            throw Bad($"tensor '{name}' has the unknown dtype '{code}'");
        }

        Int128 totalBits = bits;
        Span<int> axes = stackalloc int[Shape.MaxRank];
        for (int i = 0; i < lengths.Length; i++)
        {
            if (lengths[i] > int.MaxValue)
            {
                throw Bad($"axis {i} of tensor '{name}' has the length {lengths[i]}; at most {int.MaxValue} can be read");
            }

            axes[i] = (int)lengths[i];
            totalBits *= lengths[i]; // at most 2^31 each, and stopped below, so 128 bits cannot overflow
            if (totalBits > (Int128)long.MaxValue * 8)
            {
                throw Bad($"tensor '{name}' claims more than 2^63 bytes");
            }
        }

        Shape shape = new(axes[..lengths.Length]);
        if (end < begin || end > _dataLength)
        {
            throw Bad($"tensor '{name}' claims the bytes {begin} to {end} of data that are {_dataLength} bytes long; the file is truncated or damaged");
        }

        if (totalBits % 8 != 0 || totalBits / 8 != end - begin)
        {
            throw Bad($"tensor '{name}' {code} {shape} needs {totalBits / 8} bytes, but its data_offsets [{begin}, {end}] hold {end - begin}");
        }

        return new TensorEntry(name, code, type, shape, _dataStart + begin, end - begin);
    }

    /// <summary>The tensors must cover the data exactly: no overlap, no hole, nothing behind the last.</summary>
    private void CheckCover()
    {
        TensorEntry[] entries = [.. _tensors.Values];
        Array.Sort(entries, static (a, b) => a.Offset != b.Offset ? a.Offset.CompareTo(b.Offset) : a.ByteCount.CompareTo(b.ByteCount));
        long at = _dataStart;
        string previous = "the header";
        foreach (TensorEntry entry in entries)
        {
            if (entry.Offset < at)
            {
                throw Bad($"tensor '{entry.Name}' overlaps {previous} by {at - entry.Offset} bytes");
            }

            if (entry.Offset > at)
            {
                throw Bad($"there is a hole of {entry.Offset - at} bytes between {previous} and tensor '{entry.Name}'");
            }

            at = entry.Offset + entry.ByteCount;
            previous = $"tensor '{entry.Name}'";
        }

        if (at != _dataStart + _dataLength)
        {
            throw Bad($"{_dataStart + _dataLength - at} bytes behind {previous} belong to no tensor");
        }
    }

    private void Expect(ref Utf8JsonReader reader, JsonTokenType type, string needed)
    {
        if (reader.TokenType != type)
        {
            throw Bad(needed);
        }
    }

    private CheckpointException Bad(string what) => new($"{_path}: {what}.");
}
