using System.Text.Json.Nodes;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Architectures;

/// <summary>Values of config.json that several families share.</summary>
internal static class ConfigValues
{
    private static readonly string[] s_activations = ["silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu"];

    /// <summary>The activations that can be asked for, in the words of config.json.</summary>
    public static ReadOnlySpan<string> Activations => s_activations;

    /// <summary>`dtype`, or `torch_dtype` as it was spelled before; null where neither says.</summary>
    public static DType? StorageType(ConfigReader c)
    {
        string? now = c.OptionalText("dtype");
        string? old = c.OptionalText("torch_dtype");
        return (now ?? old)?.Replace("torch.", "", StringComparison.Ordinal) switch
        {
            null or "auto" => null,
            "float32" => DType.F32,
            "bfloat16" => DType.BF16,
            "float16" => DType.F16,
            "float64" => DType.F64,
            _ => throw c.Error(now is null ? "torch_dtype" : "dtype", "is not supported; supported are float32, bfloat16, float16, float64"),
        };
    }

    public static string? StorageName(DType? type) => type switch
    {
        DType.F32 => "float32",
        DType.BF16 => "bfloat16",
        DType.F16 => "float16",
        DType.F64 => "float64",
        _ => null,
    };

    public static float Probability(ConfigReader c, string key, double fallback)
    {
        double value = c.NumberOr(key, fallback);
        return value is >= 0 and < 1 ? (float)value : throw c.Error(key, "must be a probability, from 0 to below 1");
    }

    public static JsonNode? OneOrMany(IReadOnlyList<int> ids) => ids.Count switch
    {
        0 => null,
        1 => JsonValue.Create(ids[0]),
        _ => new JsonArray([.. ids.Select(i => JsonValue.Create(i))]),
    };
}
