using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Architectures;

/// <summary>The settings of a Llama-like decoder: Llama 2 and 3, Mistral, Qwen2, Qwen3. Names and defaults are those of config.json.</summary>
public sealed record LlamaConfig
{
    private static readonly string[] s_modelTypes = ["llama", "mistral", "qwen2", "qwen3"];

    private static readonly Dictionary<string, string[]> s_oldSpellings = new(StringComparer.Ordinal)
    {
        ["rope_parameters"] = ["rope_theta", "rope_scaling"],
        ["dtype"] = ["torch_dtype"],
    };

    /// <summary>The values of `model_type` that this record describes.</summary>
    public static IReadOnlyList<string> ModelTypes => s_modelTypes;

    /// <summary>The family: `llama`, `mistral`, `qwen2` or `qwen3`.</summary>
    public required string ModelType { get; init; }

    /// <summary>V: rows of the embedding.</summary>
    public required int VocabSize { get; init; }

    /// <summary>C: model width.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>F: width of the feed-forward layer.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>L: layers.</summary>
    public required int NumHiddenLayers { get; init; }

    /// <summary>H: query heads.</summary>
    public required int NumAttentionHeads { get; init; }

    /// <summary>K: key and value heads; divides H.</summary>
    public required int NumKeyValueHeads { get; init; }

    /// <summary>D: head size; H·D need not be C.</summary>
    public required int HeadDim { get; init; }

    /// <summary>The longest sequence.</summary>
    public required int MaxPositionEmbeddings { get; init; }

    /// <summary>ε of the RMS norms.</summary>
    public required float RmsNormEps { get; init; }

    /// <summary>Rotary position embeddings.</summary>
    public required RopeParameters Rope { get; init; }

    /// <summary>True where the head is the embedding.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>Biases on q, k and v: always for Qwen2, by `attention_bias` for Llama and Qwen3.</summary>
    public bool QkvBias { get; init; }

    /// <summary>A bias on the output projection of attention, by `attention_bias` for Llama and Qwen3.</summary>
    public bool OutputBias { get; init; }

    /// <summary>Biases in the feed-forward layer (Llama).</summary>
    public bool MlpBias { get; init; }

    /// <summary>An RMS norm over each head of q and k before rotary (Qwen3).</summary>
    public bool QkNorm { get; init; }

    /// <summary>The activation of the gate: silu, gelu, gelu_new, gelu_pytorch_tanh or relu.</summary>
    public string HiddenAct { get; init; } = "silu";

    /// <summary>The window of each layer (L): a token sees itself and the window − 1 before it; null for all before it.</summary>
    public required ValueList<int?> SlidingWindows { get; init; }

    /// <summary>Dropout of attention probabilities in training.</summary>
    public float AttentionDropout { get; init; }

    /// <summary>Standard deviation of fresh weights.</summary>
    public float InitializerRange { get; init; } = 0.02f;

    /// <summary>The token that begins a text, if any.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>The tokens that end a text.</summary>
    public ValueList<int> EosTokenIds { get; init; } = new([]);

    /// <summary>The token of padding, if any.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>The type in which the weights are meant to be stored, if said.</summary>
    public DType? DType { get; init; }

    /// <summary>Reads a config.json; unknown keys are added to <paramref name="warnings"/>.</summary>
    /// <exception cref="CheckpointException">A setting is missing, wrong, or changes the model in a way that is not implemented; names file, key and value.</exception>
    public static LlamaConfig Parse(JsonElement root, string file, ICollection<string>? warnings = null)
    {
        List<string> unknown = [];
        string type = HuggingFaceConfig.RequireModelType(root, file, s_modelTypes);
        LlamaConfig config = LlamaConfigJson.Read(new ConfigReader(root, file), type, unknown);
        unknown.ForEach(w => warnings?.Add(w));
        return config;
    }

    /// <summary>The text of a config.json. Given the text it was read from, all that did not change stays as it was, byte by byte where nothing changed.</summary>
    /// <exception cref="CheckpointException"><paramref name="original"/> is not a config.json of these families.</exception>
    public string Write(string? original = null)
    {
        JsonObject now = LlamaConfigJson.Write(this);
        if (original is null)
        {
            return ConfigWriter.Text(now);
        }

        HuggingFaceConfig before = HuggingFaceConfig.Parse(original, HuggingFaceConfig.FileName);
        LlamaConfig read = Parse(before.Root, HuggingFaceConfig.FileName);
        return ConfigWriter.Merge(original, LlamaConfigJson.Write(read), now, s_oldSpellings);
    }
}
