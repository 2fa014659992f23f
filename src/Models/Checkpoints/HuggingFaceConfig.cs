using System.Text;
using System.Text.Json;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>The config.json of a model folder as it stands: its text is kept, so that saving changes only what has changed.</summary>
/// <remarks>The typed records of the families read it: <see cref="Architectures.LlamaConfig"/>, <see cref="Architectures.Gpt2Config"/>.</remarks>
public sealed class HuggingFaceConfig
{
    /// <summary>The file name in a model folder.</summary>
    public const string FileName = "config.json";

    private static readonly UTF8Encoding s_strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
    private static readonly string[] s_supported = ["gpt2", "llama", "mistral", "qwen2", "qwen3"];

    private HuggingFaceConfig(string path, string text, JsonElement root, string modelType)
    {
        (Path, Text, Root, ModelType) = (path, text, root, modelType);
    }

    /// <summary>The values of `model_type` that can be loaded.</summary>
    public static IReadOnlyList<string> SupportedModelTypes => s_supported;

    /// <summary>The file, for messages.</summary>
    public string Path { get; }

    /// <summary>The file's text, unchanged.</summary>
    public string Text { get; }

    /// <summary>The parsed object.</summary>
    public JsonElement Root { get; }

    /// <summary>The family: `llama`, `gpt2`, ...</summary>
    public string ModelType { get; }

    /// <summary>Reads a config.json, or that of a folder.</summary>
    /// <exception cref="CheckpointException">It cannot be read, is not valid, or its model type is not supported.</exception>
    public static HuggingFaceConfig Load(string path)
    {
        string file = Directory.Exists(path) ? System.IO.Path.Combine(path, FileName) : path;
        byte[] bytes = JsonFile.ReadBytes(file);
        return System.Text.Unicode.Utf8.IsValid(bytes) ? Parse(Encoding.UTF8.GetString(bytes), file) : throw new CheckpointException($"{file}: is not UTF-8.");
    }

    /// <summary>Reads a config.json from its text; <paramref name="path"/> is for messages.</summary>
    /// <exception cref="CheckpointException">It is not valid, or its model type is not supported.</exception>
    public static HuggingFaceConfig Parse(string text, string path)
    {
        ArgumentNullException.ThrowIfNull(text);
        byte[] bytes;
        try
        {
            bytes = s_strict.GetBytes(text);
        }
        catch (EncoderFallbackException e)
        {
            throw new CheckpointException($"{path}: is not valid Unicode: {e.Message}", e);
        }

        using JsonDocument document = JsonFile.Parse(path, bytes);
        JsonElement root = document.RootElement.Clone();
        return new HuggingFaceConfig(path, text, root, RequireModelType(root, path, s_supported));
    }

    /// <summary>The model type of a config.json, which must be one of a few.</summary>
    internal static string RequireModelType(JsonElement root, string path, ReadOnlySpan<string> supported)
    {
        ConfigReader reader = new(root, path);
        string type = reader.OptionalText("model_type") ?? throw reader.Error("model_type", $"is missing; supported are {string.Join(", ", supported)}");
        return supported.Contains(type) ? type : throw reader.Error("model_type", $"is not supported; supported are {string.Join(", ", supported)}");
    }
}
