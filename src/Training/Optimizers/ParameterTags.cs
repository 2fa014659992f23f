using System.Globalization;

namespace Graft.Training.Optimizers;

/// <summary>What a parameter is in its model.</summary>
public enum ParameterRole
{
    /// <summary>None of the others.</summary>
    Other,

    /// <summary>A table of token or position vectors.</summary>
    Embedding,

    /// <summary>The output head.</summary>
    Head,

    /// <summary>A gain or shift of a normalisation.</summary>
    Norm,

    /// <summary>A bias.</summary>
    Bias,

    /// <summary>A projection of the attention (query, key, value, output, or several at once).</summary>
    Attention,

    /// <summary>A projection of the feed-forward part.</summary>
    FeedForward,
}

/// <summary>What is known of a parameter from its name: the layer it belongs to, its role, and the matrix of a low-rank pair.</summary>
/// <param name="Layer">The first number in the path, -1 where there is none: `model.layers.3.mlp.up_proj.weight` has 3.</param>
/// <param name="Role">What it is in the model.</param>
/// <param name="Module">The last name of the path that is a module of the model: `up_proj`.</param>
/// <param name="Adapter">The name of the adapter's tensor (`lora_A`, `lora_B`), empty for a parameter of the base.</param>
public readonly record struct ParameterTags(int Layer, ParameterRole Role, string Module, string Adapter)
{
    private static readonly (string Part, ParameterRole Role)[] s_roles =
    [
        ("embed", ParameterRole.Embedding), ("wte", ParameterRole.Embedding), ("wpe", ParameterRole.Embedding),
        ("lm_head", ParameterRole.Head), ("score", ParameterRole.Head), ("classifier", ParameterRole.Head),
        ("norm", ParameterRole.Norm), ("ln_", ParameterRole.Norm),
        ("q_proj", ParameterRole.Attention), ("k_proj", ParameterRole.Attention), ("v_proj", ParameterRole.Attention), ("o_proj", ParameterRole.Attention),
        ("c_attn", ParameterRole.Attention), ("attn", ParameterRole.Attention), ("attention", ParameterRole.Attention),
        ("gate_proj", ParameterRole.FeedForward), ("up_proj", ParameterRole.FeedForward), ("down_proj", ParameterRole.FeedForward),
        ("c_fc", ParameterRole.FeedForward), ("mlp", ParameterRole.FeedForward),
    ];

    /// <summary>Reads the tags off a checkpoint's name.</summary>
    public static ParameterTags Of(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        string[] parts = name.Split('.');
        int layer = -1;
        string adapter = "";
        string module = "";
        string outer = "";
        foreach (string part in parts)
        {
            if (int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
            {
                layer = layer < 0 ? number : layer;
            }
            else if (part is not ("weight" or "bias" or "base_layer"))
            {
                (outer, module) = (module, part);
            }
        }

        // Tensors of an adapter are named `adapter/module.tensor`; the low-rank pair is known without that.
        if (name.Contains('/', StringComparison.Ordinal) || module.StartsWith("lora_", StringComparison.Ordinal))
        {
            (module, adapter) = (outer, module);
        }

        return new ParameterTags(layer, RoleOf(parts), module, adapter);
    }

    private static ParameterRole RoleOf(string[] parts)
    {
        if (parts[^1] == "bias")
        {
            return ParameterRole.Bias;
        }

        // The innermost module decides: `attention_norm` inside `attention` is a norm.
        for (int i = parts.Length - 1; i >= 0; i--)
        {
            foreach ((string part, ParameterRole role) in s_roles)
            {
                if (parts[i].Contains(part, StringComparison.Ordinal))
                {
                    return role;
                }
            }
        }

        return ParameterRole.Other;
    }
}
