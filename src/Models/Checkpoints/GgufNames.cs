namespace Graft.Models.Checkpoints;

/// <summary>Tensor names of GGUF files of Llama-like models and those of Hugging Face. Source: gguf-py's tensor_mapping.</summary>
internal static class GgufNames
{
    private static readonly Dictionary<string, string> s_outer = new(StringComparer.Ordinal)
    {
        ["token_embd"] = "model.embed_tokens",
        ["output_norm"] = "model.norm",
        ["output"] = "lm_head",
    };

    private static readonly Dictionary<string, string> s_layer = new(StringComparer.Ordinal)
    {
        ["attn_norm"] = "input_layernorm",
        ["attn_q"] = "self_attn.q_proj",
        ["attn_k"] = "self_attn.k_proj",
        ["attn_v"] = "self_attn.v_proj",
        ["attn_output"] = "self_attn.o_proj",
        ["attn_q_norm"] = "self_attn.q_norm",
        ["attn_k_norm"] = "self_attn.k_norm",
        ["ffn_norm"] = "post_attention_layernorm",
        ["ffn_gate"] = "mlp.gate_proj",
        ["ffn_up"] = "mlp.up_proj",
        ["ffn_down"] = "mlp.down_proj",
    };

    /// <summary>The Hugging Face name, or null for a tensor that these models do not have.</summary>
    public static string? HuggingFace(string name)
    {
        string[] parts = name.Split('.');
        string kind = parts[^1];
        if (kind is not ("weight" or "bias"))
        {
            return null;
        }

        return parts.Length == 2 && s_outer.TryGetValue(parts[0], out string? outer) ? $"{outer}.{kind}"
            : parts.Length == 4 && parts[0] == "blk" && parts[1].Length is > 0 and < 6 && parts[1].All(char.IsAsciiDigit) && s_layer.TryGetValue(parts[2], out string? inner)
                ? $"model.layers.{parts[1]}.{inner}.{kind}"
            : null;
    }

    /// <summary>True for the projections whose rows the Llama converter reorders for neighbouring rotary pairs.</summary>
    public static bool IsRotated(string name, out bool isKey)
    {
        isKey = name.Contains(".attn_k.", StringComparison.Ordinal);
        return isKey || name.Contains(".attn_q.", StringComparison.Ordinal);
    }
}
