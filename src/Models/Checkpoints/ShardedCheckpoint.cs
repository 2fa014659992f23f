using System.Text.Json;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Several safetensors files read as one by their index. Every tensor of the index exists exactly once, and no shard holds one that the index lacks.</summary>
public sealed class ShardedCheckpoint : ICheckpoint
{
    private readonly OrderedDictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SafeTensorsFile> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SafeTensorsFile> _shards = new(StringComparer.Ordinal);

    private ShardedCheckpoint(string path) => Path = path;

    /// <inheritdoc/>
    public string Path { get; }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => _tensors;

    /// <summary>The shards by file name.</summary>
    public IReadOnlyDictionary<string, SafeTensorsFile> Shards => _shards;

    /// <summary>Opens `model.safetensors.index.json` and the shards that it names in its own folder.</summary>
    /// <exception cref="CheckpointException">A file is missing or broken, or index and shards disagree; all disagreements are reported together.</exception>
    public static ShardedCheckpoint Open(string indexPath)
    {
        ArgumentNullException.ThrowIfNull(indexPath);
        ShardedCheckpoint checkpoint = new(indexPath);
        try
        {
            checkpoint.Load();
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Read(string name, long firstElement, Span<float> destination) => FileOf(name).Read(name, firstElement, destination);

    /// <inheritdoc/>
    public void Read(string name, long firstElement, Span<BFloat16> destination) => FileOf(name).Read(name, firstElement, destination);

    /// <inheritdoc/>
    public void ReadRaw(string name, long firstByte, Span<byte> destination) => FileOf(name).ReadRaw(name, firstByte, destination);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (SafeTensorsFile shard in _shards.Values)
        {
            shard.Dispose();
        }
    }

    private SafeTensorsFile FileOf(string name) => _files[this.Entry(name).Name];

    private void Load()
    {
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(Path))!;
        Dictionary<string, string> map = ReadMap();
        foreach (string shard in map.Values.Distinct().Order(StringComparer.Ordinal))
        {
            if (shard != System.IO.Path.GetFileName(shard) || shard is "" or "." or "..")
            {
                throw new CheckpointException($"{Path}: the shard '{shard}' is not a plain file name; shards lie beside their index.");
            }

            _shards.Add(shard, SafeTensorsFile.Open(System.IO.Path.Combine(folder, shard)));
        }

        List<string> wrong = [];
        foreach ((string shard, SafeTensorsFile file) in _shards)
        {
            foreach ((string name, TensorEntry entry) in file.Tensors)
            {
                if (!map.TryGetValue(name, out string? place))
                {
                    wrong.Add($"'{name}' is in {shard} and not in the index");
                }
                else if (place != shard)
                {
                    wrong.Add($"'{name}' is in {shard}, the index says {place}");
                }
                else
                {
                    _tensors.Add(name, entry);
                    _files.Add(name, file);
                }
            }
        }

        wrong.AddRange(map.Where(p => !_tensors.ContainsKey(p.Key)).Select(p => $"'{p.Key}' is not in {p.Value}, where the index puts it"));
        if (wrong.Count > 0)
        {
            throw new CheckpointException($"{Path}: index and shards disagree: {MessageList.Join(wrong)}.");
        }
    }

    private Dictionary<string, string> ReadMap()
    {
        using JsonDocument document = JsonFile.Read(Path);
        if (document.RootElement.ValueKind != JsonValueKind.Object
            || !document.RootElement.TryGetProperty("weight_map", out JsonElement weights)
            || weights.ValueKind != JsonValueKind.Object)
        {
            throw new CheckpointException($"{Path}: needs an object 'weight_map' from tensor names to shard files.");
        }

        Dictionary<string, string> map = new(StringComparer.Ordinal);
        foreach (JsonProperty pair in weights.EnumerateObject())
        {
            if (pair.Value.ValueKind != JsonValueKind.String || !map.TryAdd(pair.Name, pair.Value.GetString()!))
            {
                throw new CheckpointException($"{Path}: the shard of tensor '{pair.Name}' is given twice or is not a string.");
            }
        }

        return map;
    }
}
