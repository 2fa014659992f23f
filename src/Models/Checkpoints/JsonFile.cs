using System.Text.Json;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Reads JSON files with errors that name the file.</summary>
internal static class JsonFile
{
    /// <summary>The largest file read: an index of a million tensors has a tenth of it.</summary>
    public const long MaxBytes = 100_000_000;

    private const int MaxDepth = 64;

    private static readonly JsonDocumentOptions s_options = new() { MaxDepth = MaxDepth, AllowDuplicateProperties = false };

    /// <summary>Parses a file; keys given twice and text that is no valid Unicode are errors.</summary>
    public static JsonDocument Read(string path) => Parse(path, ReadBytes(path));

    public static byte[] ReadBytes(string path)
    {
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            if (stream.Length > MaxBytes)
            {
                throw new CheckpointException($"{path}: has {stream.Length} bytes; at most {MaxBytes} are read.");
            }

            byte[] bytes = new byte[stream.Length];
            stream.ReadExactly(bytes);
            return bytes;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    public static JsonDocument Parse(string path, ReadOnlyMemory<byte> json)
    {
        if (json.Span.StartsWith("\uFEFF"u8))
        {
            json = json[3..];
        }

        if (!System.Text.Unicode.Utf8.IsValid(json.Span))
        {
            throw new CheckpointException($"{path}: is not UTF-8.");
        }

        try
        {
            RequireText(json.Span);
            return JsonDocument.Parse(json, s_options);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new CheckpointException($"{path}: is not valid JSON: {e.Message}", e);
        }
    }

    /// <summary>Escapes may spell half a surrogate pair, on which a later GetString would throw: find them here.</summary>
    private static void RequireText(ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = MaxDepth });
        while (reader.Read())
        {
            if (reader.ValueIsEscaped)
            {
                _ = reader.GetString();
            }
        }
    }
}
