using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Writes safetensors files, each atomically: the file appears whole or not at all. Equal tensors give equal bytes.</summary>
public static class SafeTensorsWriter
{
    /// <summary>The name of a single file of weights in a model folder.</summary>
    public const string SingleName = "model.safetensors";

    /// <summary>The name of the list of shards in a model folder.</summary>
    public const string IndexName = "model.safetensors.index.json";

    private static readonly JsonWriterOptions s_plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonWriterOptions s_indented = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, Indented = true };
    private static readonly Dictionary<string, string> s_format = new(StringComparer.Ordinal) { ["format"] = "pt" };

    /// <summary>Writes one file. The order is by element size, largest first, then by name, so that every tensor is aligned; metadata defaults to `format: pt`.</summary>
    /// <exception cref="CheckpointException">A name given twice, a callback that wrote another number of bytes, or a disk that is full; nothing is left behind.</exception>
    public static void Write(string path, IReadOnlyList<TensorSource> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        Write(path, tensors, metadata, null);
    }

    internal static void Write(string path, IReadOnlyList<TensorSource> tensors, IReadOnlyDictionary<string, string>? metadata, Func<Stream, Stream>? wrap)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        RequireDistinctNames(path, tensors);
        AtomicFile.Write(path, stream => WriteTo(stream, path, tensors, metadata), wrap);
    }

    /// <summary>Writes `model.safetensors` where all fits into <paramref name="maxShardBytes"/>, else shards `model-00001-of-0000N.safetensors` and their index.</summary>
    /// <remarks>Tensors fill shards in the order given; one larger than the limit has a shard of its own. All files are complete on the disk before the first gets its
    /// name, the index gets its name last, and files of an earlier save that are no longer part of the model are removed afterwards.</remarks>
    /// <returns>The names of the files written, without the folder.</returns>
    /// <exception cref="CheckpointException">As <see cref="Write(string, IReadOnlyList{TensorSource}, IReadOnlyDictionary{string, string}?)"/>.</exception>
    public static IReadOnlyList<string> WriteSharded(
        string folder, IReadOnlyList<TensorSource> tensors, long maxShardBytes = 5_000_000_000, IReadOnlyDictionary<string, string>? metadata = null)
    {
        return WriteSharded(folder, tensors, maxShardBytes, metadata, null);
    }

    internal static IReadOnlyList<string> WriteSharded(
        string folder, IReadOnlyList<TensorSource> tensors, long maxShardBytes, IReadOnlyDictionary<string, string>? metadata, Func<Stream, Stream>? wrap)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxShardBytes);
        RequireDistinctNames(folder, tensors);
        List<List<TensorSource>> shards = Split(tensors, maxShardBytes);
        List<AtomicFile> files = [];
        List<string> names = [];
        try
        {
            SortedDictionary<string, string> map = new(StringComparer.Ordinal);
            for (int i = 0; i < shards.Count; i++)
            {
                string name = shards.Count == 1 ? SingleName : string.Create(CultureInfo.InvariantCulture, $"model-{i + 1:D5}-of-{shards.Count:D5}.safetensors");
                WriteAside(name, stream => WriteTo(stream, Path.Combine(folder, name), shards[i], metadata));
                foreach (TensorSource tensor in shards[i])
                {
                    map.Add(tensor.Name, name);
                }
            }

            if (shards.Count > 1)
            {
                WriteAside(IndexName, stream => WriteIndex(stream, tensors, map));
            }

            foreach (AtomicFile file in files)
            {
                file.Commit();
            }
        }
        finally
        {
            files.ForEach(f => f.Dispose());
        }

        RemoveOthers(folder, names);
        return names;

        void WriteAside(string name, Action<Stream> write)
        {
            AtomicFile file = AtomicFile.Create(Path.Combine(folder, name), wrap);
            files.Add(file);
            names.Add(name);
            try
            {
                write(file.Stream);
            }
            catch (IOException e)
            {
                throw new CheckpointException($"{file.Path}: could not be written, nothing was changed: {e.Message} Free space on the disk or choose another folder.", e);
            }

            file.Seal();
        }
    }

    /// <summary>Writes the content of a file to a stream.</summary>
    internal static void WriteTo(Stream stream, string path, IReadOnlyList<TensorSource> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        TensorSource[] ordered = [.. tensors.OrderByDescending(t => t.Type.Size()).ThenBy(t => t.Name, StringComparer.Ordinal)];
        ArrayBufferWriter<byte> header = Header(ordered, metadata ?? s_format);
        int padding = -header.WrittenCount & 7;
        header.GetSpan(8)[..padding].Fill((byte)' ');
        header.Advance(padding);
        if (header.WrittenCount > SafeTensorsHeader.MaxBytes)
        {
            throw new CheckpointException($"{path}: the header would have {header.WrittenCount} bytes; readers take at most {SafeTensorsHeader.MaxBytes}. Write several shards.");
        }

        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.WrittenCount);
        stream.Write(length);
        stream.Write(header.WrittenSpan);
        foreach (TensorSource tensor in ordered)
        {
            using CountingStream counting = new(stream, path, tensor);
            tensor.Write(counting);
            counting.RequireComplete();
        }
    }

    private static ArrayBufferWriter<byte> Header(TensorSource[] ordered, IReadOnlyDictionary<string, string> metadata)
    {
        ArrayBufferWriter<byte> buffer = new();
        using Utf8JsonWriter json = new(buffer, s_plain);
        json.WriteStartObject();
        if (metadata.Count > 0)
        {
            json.WriteStartObject("__metadata__");
            foreach ((string key, string value) in metadata.OrderBy(p => p.Key, StringComparer.Ordinal))
            {
                json.WriteString(key, value);
            }

            json.WriteEndObject();
        }

        long at = 0;
        foreach (TensorSource tensor in ordered)
        {
            json.WriteStartObject(tensor.Name);
            json.WriteString("dtype", SafeTensorsType.Code(tensor.Type));
            json.WriteStartArray("shape");
            for (int i = 0; i < tensor.Shape.Rank; i++)
            {
                json.WriteNumberValue(tensor.Shape[i]);
            }

            json.WriteEndArray();
            json.WriteStartArray("data_offsets");
            json.WriteNumberValue(at);
            at = checked(at + tensor.ByteCount);
            json.WriteNumberValue(at);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndObject();
        json.Flush();
        return buffer;
    }

    private static List<List<TensorSource>> Split(IReadOnlyList<TensorSource> tensors, long maxShardBytes)
    {
        List<List<TensorSource>> shards = [[]];
        long bytes = 0;
        foreach (TensorSource tensor in tensors)
        {
            if (shards[^1].Count > 0 && bytes + tensor.ByteCount > maxShardBytes)
            {
                shards.Add([]);
                bytes = 0;
            }

            shards[^1].Add(tensor);
            bytes += tensor.ByteCount;
        }

        return shards;
    }

    private static void WriteIndex(Stream stream, IReadOnlyList<TensorSource> tensors, SortedDictionary<string, string> map)
    {
        using Utf8JsonWriter json = new(stream, s_indented);
        json.WriteStartObject();
        json.WriteStartObject("metadata");
        json.WriteNumber("total_parameters", tensors.Sum(t => t.Shape.Count));
        json.WriteNumber("total_size", tensors.Sum(t => t.ByteCount));
        json.WriteEndObject();
        json.WriteStartObject("weight_map");
        foreach ((string name, string file) in map)
        {
            json.WriteString(name, file);
        }

        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        stream.WriteByte((byte)'\n');
    }

    /// <summary>A reader prefers the single file: one of an earlier save beside new shards (or an old index beside a new single file) would be read instead.</summary>
    private static void RemoveOthers(string folder, List<string> names)
    {
        try
        {
            foreach (string file in Directory.EnumerateFiles(folder, "model*"))
            {
                string name = Path.GetFileName(file);
                bool ours = name is SingleName or IndexName || (name.StartsWith("model-", StringComparison.Ordinal) && name.EndsWith(".safetensors", StringComparison.Ordinal));
                if (ours && !names.Contains(name))
                {
                    File.Delete(file);
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{folder}: the new files are written, but files of an earlier save could not be removed: {e.Message} Remove them by hand.", e);
        }
    }

    private static void RequireDistinctNames(string path, IReadOnlyList<TensorSource> tensors)
    {
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (TensorSource tensor in tensors)
        {
            if (!seen.Add(tensor.Name) || tensor.Name == "__metadata__")
            {
                throw new CheckpointException($"{path}: the tensor name '{tensor.Name}' was given twice or is reserved; nothing was written.");
            }
        }
    }
}
