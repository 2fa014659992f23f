using System.Text.Json.Nodes;
using Graft.Models.Checkpoints;

namespace Graft.Models.Architectures;

/// <summary>config.json to <see cref="LlamaConfig"/> and back. Defaults of absent keys are those of the reference implementation, family by family.</summary>
internal static class LlamaConfigJson
{
    private const string Sliding = "sliding_attention";
    private const string Full = "full_attention";

    public static LlamaConfig Read(ConfigReader c, string type, List<string> warnings)
    {
        int hidden = c.Int("hidden_size", 1);
        int layers = c.Int("num_hidden_layers", 1);
        int heads = c.Int("num_attention_heads", 1);
        int keyHeads = c.IsPresent("num_key_value_heads")
            ? c.IntOr("num_key_value_heads", heads, 1)
            : type switch { "mistral" => 8, "qwen2" or "qwen3" => 32, _ => heads };
        int headDim = c.OptionalInt("head_dim", 1) ?? (type == "qwen3" ? 128 : Quotient(c, hidden, heads));
        int maxPositions = c.IntOr("max_position_embeddings", type switch { "mistral" => 131072, "llama" => 2048, _ => 32768 }, 1);
        bool attentionBias = type is "llama" or "qwen3" && c.FlagOr("attention_bias", false);
        if (heads % keyHeads != 0)
        {
            throw c.Error("num_key_value_heads", $"must divide the {heads} attention heads; given, or the default of '{type}', is {keyHeads}");
        }

        if (headDim % 2 != 0)
        {
            throw c.Error("head_dim", $"must be even for rotary embeddings; it is {headDim}");
        }

        LlamaConfig config = new()
        {
            ModelType = type,
            VocabSize = c.Int("vocab_size", 1),
            HiddenSize = hidden,
            IntermediateSize = c.Int("intermediate_size", 1),
            NumHiddenLayers = layers,
            NumAttentionHeads = heads,
            NumKeyValueHeads = keyHeads,
            HeadDim = headDim,
            MaxPositionEmbeddings = maxPositions,
            RmsNormEps = (float)c.PositiveOr("rms_norm_eps", 1e-6),
            Rope = RopeParameters.Read(c, 10000, maxPositions, warnings),
            TieWordEmbeddings = c.FlagOr("tie_word_embeddings", false),
            QkvBias = type == "qwen2" || attentionBias,
            OutputBias = attentionBias,
            MlpBias = type == "llama" && c.FlagOr("mlp_bias", false),
            QkNorm = type == "qwen3",
            HiddenAct = c.ChoiceOr("hidden_act", "silu", ConfigValues.Activations),
            SlidingWindows = new(Windows(c, type, layers)),
            AttentionDropout = ConfigValues.Probability(c, "attention_dropout", 0),
            InitializerRange = (float)c.NumberOr("initializer_range", 0.02),
            BosTokenId = c.OptionalInt("bos_token_id"),
            EosTokenIds = c.Ints("eos_token_id"),
            PadTokenId = c.OptionalInt("pad_token_id"),
            DType = ConfigValues.StorageType(c),
        };
        warnings.AddRange(c.RefuseUnknownBehaviour());
        return config;
    }

    public static JsonObject Write(LlamaConfig c)
    {
        SortedDictionary<string, JsonNode?> keys = new(StringComparer.Ordinal)
        {
            ["architectures"] = new JsonArray(c.ModelType switch
            {
                "mistral" => "MistralForCausalLM",
                "qwen2" => "Qwen2ForCausalLM",
                "qwen3" => "Qwen3ForCausalLM",
                _ => "LlamaForCausalLM",
            }),
            ["attention_dropout"] = c.AttentionDropout,
            ["bos_token_id"] = c.BosTokenId,
            ["dtype"] = ConfigValues.StorageName(c.DType),
            ["eos_token_id"] = ConfigValues.OneOrMany(c.EosTokenIds),
            ["head_dim"] = c.HeadDim,
            ["hidden_act"] = c.HiddenAct,
            ["hidden_size"] = c.HiddenSize,
            ["initializer_range"] = c.InitializerRange,
            ["intermediate_size"] = c.IntermediateSize,
            ["max_position_embeddings"] = c.MaxPositionEmbeddings,
            ["model_type"] = c.ModelType,
            ["num_attention_heads"] = c.NumAttentionHeads,
            ["num_hidden_layers"] = c.NumHiddenLayers,
            ["num_key_value_heads"] = c.NumKeyValueHeads,
            ["pad_token_id"] = c.PadTokenId,
            ["rms_norm_eps"] = c.RmsNormEps,
            ["rope_parameters"] = c.Rope.ToJson(),
            ["tie_word_embeddings"] = c.TieWordEmbeddings,
            ["use_cache"] = true,
            ["vocab_size"] = c.VocabSize,
        };
        if (c.ModelType is "llama" or "qwen3")
        {
            keys["attention_bias"] = c.OutputBias;
        }

        if (c.ModelType == "llama")
        {
            keys["mlp_bias"] = c.MlpBias;
        }
        else
        {
            WriteWindows(c, keys);
        }

        return new JsonObject(keys);
    }

    private static void WriteWindows(LlamaConfig c, SortedDictionary<string, JsonNode?> keys)
    {
        int? window = c.SlidingWindows.FirstOrDefault(w => w is not null);
        keys["sliding_window"] = window;
        if (c.ModelType != "mistral")
        {
            keys["use_sliding_window"] = window is not null;
            keys["layer_types"] = new JsonArray([.. c.SlidingWindows.Select(w => JsonValue.Create(w is null ? Full : Sliding))]);
        }
    }

    private static IEnumerable<int?> Windows(ConfigReader c, string type, int layers)
    {
        if (type == "llama")
        {
            // Read so that a list of nothing but full attention passes; a window given beside it is refused at the end.
            return LayerTypes(c, layers, null) ?? Enumerable.Repeat<int?>(null, layers);
        }

        // Absent is not null: the reference's default is a window of 4096, which Qwen uses only if told to.
        int? window = c.IsPresent("sliding_window") ? c.OptionalInt("sliding_window", 1) : 4096;
        if (type == "mistral")
        {
            return Enumerable.Repeat(window, layers);
        }

        if (!c.FlagOr("use_sliding_window", false))
        {
            window = null;
        }

        int first = c.IntOr("max_window_layers", 28, 0);
        return LayerTypes(c, layers, window) ?? Enumerable.Range(0, layers).Select(i => i >= first ? window : null);
    }

    private static IEnumerable<int?>? LayerTypes(ConfigReader c, int layers, int? window)
    {
        if (c.OptionalTexts("layer_types") is not { } types)
        {
            return null;
        }

        if (types.Count != layers)
        {
            throw c.Error("layer_types", $"must name each of the {layers} layers");
        }

        return types.Select<string, int?>(t => t switch
        {
            Full => null,
            Sliding => window ?? throw c.Error("layer_types", "asks for windows, but no window is in use (use_sliding_window, sliding_window)"),
            _ => throw c.Error("layer_types", $"has the layer type '{t}'; supported are {Full} and {Sliding}"),
        });
    }

    private static int Quotient(ConfigReader c, int hidden, int heads)
    {
        return hidden % heads == 0 ? hidden / heads : throw c.Error("num_attention_heads", $"does not divide hidden_size = {hidden}, and there is no head_dim");
    }
}
