using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Opens weights wherever they are: a safetensors or GGUF file, an index of shards, or a Hugging Face folder.</summary>
public static class CheckpointReader
{
    /// <summary>Opens a file by its extension, or a folder: `model.safetensors`, else `model.safetensors.index.json`, else its only .gguf file.</summary>
    /// <exception cref="CheckpointException">Nothing readable is there, or it is broken.</exception>
    public static ICheckpoint Open(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (!Directory.Exists(path))
        {
            return path.EndsWith(".index.json", StringComparison.OrdinalIgnoreCase) ? ShardedCheckpoint.Open(path)
                : path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) ? GgufCheckpoint.Open(path)
                : SafeTensorsFile.Open(path);
        }

        string single = Path.Combine(path, SafeTensorsWriter.SingleName);
        string index = Path.Combine(path, SafeTensorsWriter.IndexName);
        string[] gguf = Directory.GetFiles(path, "*.gguf");
        return File.Exists(single) ? SafeTensorsFile.Open(single)
            : File.Exists(index) ? ShardedCheckpoint.Open(index)
            : gguf.Length == 1 ? GgufCheckpoint.Open(gguf[0])
            : throw new CheckpointException(
                $"{path}: holds no weights that can be chosen; looked for {SafeTensorsWriter.SingleName}, {SafeTensorsWriter.IndexName} and one .gguf file ({gguf.Length} found).{PickleHint(path)}");
    }

    private static string PickleHint(string path)
    {
        bool pickled = Directory.EnumerateFiles(path, "*.bin").Concat(Directory.EnumerateFiles(path, "*.pt*")).Any();
        return pickled ? " Pickled weights (.bin, .pt, .pth) are programs and are not read: convert them to safetensors." : "";
    }
}
