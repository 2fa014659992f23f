using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Graft.Models.Checkpoints;

/// <summary>Texts of config.json: canonical, or an original in which only what changed is other.</summary>
internal static class ConfigWriter
{
    private static readonly JsonWriterOptions s_indented = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Indented text with a line break at its end, as the field's tools write it.</summary>
    public static string Text(JsonObject json)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter writer = new(buffer, s_indented))
        {
            json.WriteTo(writer);
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
    }

    /// <summary>The original with every key set whose canonical value is another than that of the original's own settings.</summary>
    public static string Merge(string original, JsonObject before, JsonObject after, IReadOnlyDictionary<string, string[]> oldSpellings)
    {
        JsonObject merged = JsonNode.Parse(original.TrimStart('\uFEFF'))!.AsObject();
        bool changed = false;
        foreach ((string key, JsonNode? value) in after)
        {
            if (JsonNode.DeepEquals(before[key], value))
            {
                continue;
            }

            changed = true;
            merged[key] = value?.DeepClone();
            foreach (string old in oldSpellings.GetValueOrDefault(key) ?? [])
            {
                _ = merged.Remove(old);
            }
        }

        return changed ? Text(merged) : original;
    }
}
