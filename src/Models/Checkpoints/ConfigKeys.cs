using System.Collections.Frozen;
using System.Text.Json;

namespace Graft.Models.Checkpoints;

/// <summary>What is known about keys of a settings file beside those that its reader asks for.</summary>
internal sealed class ConfigKeys
{
    private readonly FrozenSet<string> _harmless;
    private readonly FrozenDictionary<string, string[]> _behaviour;

    public ConfigKeys(IEnumerable<string> harmless, Dictionary<string, string[]> behaviour)
    {
        _harmless = harmless.ToFrozenSet(StringComparer.Ordinal);
        _behaviour = behaviour.ToFrozenDictionary(StringComparer.Ordinal);
    }

    /// <summary>Those of config.json.</summary>
    public static ConfigKeys Model { get; } = new(
    [
        // Without effect on what a causal language model computes in inference and training here.
        "architectures", "auto_map", "_name_or_path", "name_or_path", "_commit_hash", "_attn_implementation", "_attn_implementation_autoset",
        "attn_implementation", "transformers_version", "unsloth_version", "unsloth_fixed", "model_type", "tokenizer_class", "processor_class",
        "use_cache", "torchscript", "use_bfloat16", "gradient_checkpointing", "return_dict", "output_attentions", "output_hidden_states", "tf_legacy_loss",
        "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "decoder_start_token_id", "dtype", "torch_dtype",
        "id2label", "label2id", "num_labels", "problem_type", "finetuning_task", "task_specific_params", "is_decoder", "prefix", "n_ctx",
        "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj", "classifier_dropout", "hidden_dropout",
        "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p",
        "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences",
        "output_scores", "return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
        "suppress_tokens", "begin_suppress_tokens", "attention_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop",
        "max_window_layers", "original_max_position_embeddings", "router_aux_loss_coef", "output_router_logits", "transformers.js_config",
    ],
    new()
    {
        // Change what is computed; with the JSON texts of the values that mean "as if absent". Null always does.
        ["quantization_config"] = [],
        ["compression_config"] = [],
        ["hidden_act"] = ["\"silu\""],
        ["hidden_activation"] = [],
        ["attention_bias"] = ["false"],
        ["attention_out_bias"] = ["false"],
        ["qkv_bias"] = ["false"],
        ["use_bias"] = ["false"],
        ["mlp_bias"] = ["false"],
        ["rope_scaling"] = [],
        ["rope_parameters"] = [],
        ["rope_theta"] = [],
        ["rope_local_base_freq"] = [],
        ["rope_interleaved"] = ["false"],
        ["rope_traditional"] = ["false"],
        ["partial_rotary_factor"] = ["1", "1.0"],
        ["rotary_pct"] = ["1", "1.0"],
        ["no_rope_layers"] = ["[]"],
        ["no_rope_layer_interval"] = ["0"],
        ["use_mrope"] = ["false"],
        ["alibi"] = ["false"],
        ["sliding_window"] = [],
        ["sliding_window_pattern"] = [],
        ["use_sliding_window"] = ["false"],
        ["layer_types"] = [],
        ["attention_chunk_size"] = [],
        ["attn_temperature_tuning"] = ["false", "0"],
        ["final_logit_softcapping"] = [],
        ["attn_logit_softcapping"] = [],
        ["query_pre_attn_scalar"] = [],
        ["attention_multiplier"] = [],
        ["embedding_multiplier"] = ["1", "1.0"],
        ["residual_multiplier"] = ["1", "1.0"],
        ["logits_scaling"] = ["1", "1.0"],
        ["logit_scale"] = ["1", "1.0"],
        ["scale_emb"] = ["1", "1.0"],
        ["scale_depth"] = [],
        ["dim_model_base"] = [],
        ["clip_qkv"] = [],
        ["use_qk_norm"] = ["false"],
        ["qk_layernorm"] = ["false"],
        ["qk_norm"] = ["false"],
        ["use_bidirectional_attention"] = ["false"],
        ["pretraining_tp"] = ["1"],
        ["scale_attn_weights"] = ["true"],
        ["scale_attn_by_inverse_layer_idx"] = ["false"],
        ["reorder_and_upcast_attn"] = ["false"],
        ["add_cross_attention"] = ["false"],
        ["cross_attention_hidden_size"] = [],
        ["is_encoder_decoder"] = ["false"],
        ["tie_encoder_decoder"] = ["false"],
        ["chunk_size_feed_forward"] = ["0"],
        ["pruned_heads"] = ["{}"],
        ["parallel_attn"] = ["false"],
        ["use_parallel_residual"] = ["false"],
        ["num_experts"] = ["0"],
        ["num_local_experts"] = ["0"],
        ["num_experts_per_tok"] = ["0"],
        ["n_routed_experts"] = ["0"],
        ["moe_intermediate_size"] = [],
        ["kv_lora_rank"] = [],
        ["q_lora_rank"] = [],
        ["num_nextn_predict_layers"] = ["0"],
        ["vision_config"] = [],
        ["text_config"] = [],
    });

    public bool IsHarmless(string key) => _harmless.Contains(key);

    public bool IsBehaviour(string key) => _behaviour.ContainsKey(key);

    /// <summary>True where the value of a behaviour key says nothing that a model without it would not do.</summary>
    public bool IsNeutral(string key, JsonElement value) => value.ValueKind == JsonValueKind.Null || _behaviour[key].Contains(value.GetRawText());
}
