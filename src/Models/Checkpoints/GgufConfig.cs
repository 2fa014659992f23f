using System.Text.Json.Nodes;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>Derives a Hugging Face config.json from the metadata of a GGUF file. Source of the keys: ggml's gguf.md.</summary>
internal static class GgufConfig
{
    private const string RopeFactors = "rope_freqs.weight";
    private static readonly string[] s_supported = ["llama", "qwen2", "qwen3"];

    /// <summary>The architecture's name, refused unless it can be read.</summary>
    public static string Architecture(GgufFile file)
    {
        GgufMetadata m = new(file);
        string name = m.OptionalText("general.architecture") ?? throw m.Error("general.architecture", "is missing");
        return s_supported.Contains(name) ? name : throw m.Error("general.architecture", $"is not supported; supported are {string.Join(", ", s_supported)}");
    }

    public static HuggingFaceConfig Derive(GgufFile file)
    {
        GgufMetadata m = new(file);
        string name = Architecture(file);
        int hidden = m.Int($"{name}.embedding_length", 1);
        int heads = m.Int($"{name}.attention.head_count", 1);
        int headDim = m.OptionalInt($"{name}.attention.key_length", 1) ?? hidden / heads;
        Require(m, $"{name}.attention.value_length", headDim);
        Require(m, $"{name}.rope.dimension_count", headDim);
        int? window = name == "llama" ? m.OptionalInt($"{name}.attention.sliding_window", 0) : null;
        string type = window > 0 ? "mistral" : name;
        TensorEntry embedding = file.Entry("token_embd.weight");
        int vocabulary = embedding.Shape.Rank == 2 && embedding.Shape.Last == hidden
            ? embedding.Shape[0]
            : throw new CheckpointException($"{file.Path}: tensor 'token_embd.weight' {embedding.Shape} must have rows of {hidden} elements by the metadata.");
        Require(m, $"{name}.vocab_size", vocabulary);
        double epsilon = m.OptionalNumber($"{name}.attention.layer_norm_rms_epsilon") ?? throw m.Error($"{name}.attention.layer_norm_rms_epsilon", "is missing");
        int length = m.Int($"{name}.context_length", 1);
        bool bias = file.Tensors.ContainsKey("blk.0.attn_q.bias");
        if (type != "qwen2" && bias != file.Tensors.ContainsKey("blk.0.attn_output.bias"))
        {
            throw new CheckpointException($"{file.Path}: has biases on only some of the attention projections, which no supported family of Hugging Face has.");
        }

        JsonObject json = new()
        {
            ["architectures"] = new JsonArray(type switch
            {
                "mistral" => "MistralForCausalLM",
                "qwen2" => "Qwen2ForCausalLM",
                "qwen3" => "Qwen3ForCausalLM",
                _ => "LlamaForCausalLM",
            }),
            ["bos_token_id"] = m.OptionalInt("tokenizer.ggml.bos_token_id"),
            ["dtype"] = "float32",
            ["eos_token_id"] = Ends(m),
            ["head_dim"] = headDim,
            ["hidden_act"] = "silu",
            ["hidden_size"] = hidden,
            ["intermediate_size"] = m.Int($"{name}.feed_forward_length", 1),
            ["max_position_embeddings"] = length,
            ["model_type"] = type,
            ["num_attention_heads"] = heads,
            ["num_hidden_layers"] = m.Int($"{name}.block_count", 1),
            ["num_key_value_heads"] = m.OptionalInt($"{name}.attention.head_count_kv", 1) ?? heads,
            ["pad_token_id"] = m.OptionalInt("tokenizer.ggml.padding_token_id"),
            ["rms_norm_eps"] = epsilon,
            ["rope_parameters"] = Rope(file, m, name, headDim),
            ["tie_word_embeddings"] = !file.Tensors.ContainsKey("output.weight"),
            ["vocab_size"] = vocabulary,
        };
        if (type is "llama" or "qwen3")
        {
            json["attention_bias"] = bias;
        }

        if (type == "llama")
        {
            json["mlp_bias"] = file.Tensors.ContainsKey("blk.0.ffn_up.bias");
        }

        if (window > 0)
        {
            json["sliding_window"] = window;
        }

        m.Ignore($"{name}.tensor_data_layout", $"{name}.rope.scaling.finetuned", $"{name}.rope.scaling.original_context_length", $"{name}.attention.layer_norm_epsilon");
        m.RefuseOthers(name + ".");
        return HuggingFaceConfig.Parse(ConfigWriter.Text(json), file.Path);
    }

    private static JsonNode? Ends(GgufMetadata m)
    {
        int? text = m.OptionalInt("tokenizer.ggml.eos_token_id");
        int? turn = m.OptionalInt("tokenizer.ggml.eot_token_id");
        return text is not null && turn is not null && text != turn ? new JsonArray(text, turn) : text ?? turn;
    }

    private static void Require(GgufMetadata m, string key, int value)
    {
        if (m.OptionalInt(key) is { } given && given != value)
        {
            throw m.Error(key, $"must be {value} for this model; other values are not implemented");
        }
    }

    private static JsonObject Rope(GgufFile file, GgufMetadata m, string name, int headDim)
    {
        double theta = m.OptionalNumber($"{name}.rope.freq_base") ?? 10000;
        string type = m.OptionalText($"{name}.rope.scaling.type") ?? "none";
        double? factor = m.OptionalNumber($"{name}.rope.scaling.factor") ?? m.OptionalNumber($"{name}.rope.scale_linear");
        JsonObject json = new() { ["rope_theta"] = theta };
        if (file.Tensors.ContainsKey(RopeFactors))
        {
            return AddLlama3(file, m, name, headDim, theta, json);
        }

        if (type is not ("none" or "linear"))
        {
            throw m.Error($"{name}.rope.scaling.type", "is not supported; supported are none and linear");
        }

        json["rope_type"] = type == "linear" || factor is > 1 ? "linear" : "default";
        if ((string)json["rope_type"]! == "linear")
        {
            json["factor"] = factor ?? throw m.Error($"{name}.rope.scaling.factor", "is missing");
        }

        return json;
    }

    /// <summary>Llama 3.1 and later store one divisor per frequency. The settings they came from are found by computing the divisors again.</summary>
    private static JsonObject AddLlama3(GgufFile file, GgufMetadata m, string name, int headDim, double theta, JsonObject json)
    {
        float[] divisors = file.ReadFloats(RopeFactors);
        int original = m.OptionalInt($"{name}.rope.scaling.original_context_length", 1) ?? 8192;
        const double Low = 1;
        const double High = 4;
        double factor = divisors.Length == headDim / 2 ? divisors.DefaultIfEmpty().Max() : 0;
        for (int i = 0; i < divisors.Length; i++)
        {
            double turns = original * Math.Pow(theta, -2.0 * i / headDim) / (2 * Math.PI); // of this frequency within the original length
            double blend = Math.Clamp((turns - Low) / (High - Low), 0, 1);
            double expected = 1 / (((1 - blend) / factor) + blend);
            if (!(Math.Abs(divisors[i] - expected) <= 1e-3 * expected))
            {
                throw new CheckpointException($"{file.Path}: '{RopeFactors}' holds rotary divisors other than those of Llama 3 (factor {factor}, low 1, high 4, length {original}); they are not implemented.");
            }
        }

        json["rope_type"] = "llama3";
        json["factor"] = factor;
        json["low_freq_factor"] = Low;
        json["high_freq_factor"] = High;
        json["original_max_position_embeddings"] = original;
        return json;
    }
}
