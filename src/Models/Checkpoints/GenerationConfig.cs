using System.Text.Json;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>How a model wants to generate: the settings of generation_config.json, with the defaults of the reference implementation.</summary>
public sealed record GenerationConfig
{
    /// <summary>The file name in a model folder.</summary>
    public const string FileName = "generation_config.json";

    /// <summary>True to sample, false to take the best token.</summary>
    public bool DoSample { get; init; }

    /// <summary>Divides the logits when sampling.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>Only so many best tokens are sampled; 0 for all.</summary>
    public int TopK { get; init; } = 50;

    /// <summary>Only the best tokens up to this sum of probabilities are sampled; 1 for all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Only tokens of at least this part of the best one's probability are sampled; 0 for all.</summary>
    public double MinP { get; init; }

    /// <summary>Locally typical sampling up to this sum of probabilities; 1 for none.</summary>
    public double TypicalP { get; init; } = 1;

    /// <summary>Only tokens of at least this probability are sampled; 0 for all.</summary>
    public double EpsilonCutoff { get; init; }

    /// <summary>η sampling: a cut that follows the entropy; 0 for none.</summary>
    public double EtaCutoff { get; init; }

    /// <summary>Logits of tokens already there are divided (or multiplied, if negative) by this; 1 for none.</summary>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>No sequence of so many tokens appears twice; 0 for no limit.</summary>
    public int NoRepeatNgramSize { get; init; }

    /// <summary>The end of text is not chosen before so many new tokens.</summary>
    public int MinNewTokens { get; init; }

    /// <summary>The end of text is not chosen before so many tokens, prompt included.</summary>
    public int MinLength { get; init; }

    /// <summary>The most new tokens, if said.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>The most tokens, prompt included, if said; <see cref="MaxNewTokens"/> goes before.</summary>
    public int? MaxLength { get; init; }

    /// <summary>Tokens that are never chosen.</summary>
    public ValueList<int> SuppressTokens { get; init; } = new([]);

    /// <summary>Tokens that are not chosen first.</summary>
    public ValueList<int> BeginSuppressTokens { get; init; } = new([]);

    /// <summary>Sequences of tokens that are never completed.</summary>
    public ValueList<ValueList<int>> BadWordsIds { get; init; } = new([]);

    /// <summary>Texts that end the generation.</summary>
    public ValueList<string> StopStrings { get; init; } = new([]);

    /// <summary>The token that begins a text, if any.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>The tokens that end a text.</summary>
    public ValueList<int> EosTokenIds { get; init; } = new([]);

    /// <summary>The token of padding, if any.</summary>
    public int? PadTokenId { get; init; }

    private static ConfigKeys Keys { get; } = new(
    [
        "_from_model_config", "transformers_version", "use_cache", "output_attentions", "output_hidden_states", "output_scores", "output_logits",
        "return_dict_in_generate", "return_legacy_cache", "cache_implementation", "cache_config", "compile_config", "disable_compile", "low_memory",
        "length_penalty", "early_stopping", "diversity_penalty", "decoder_start_token_id", "trust_remote_code", "chat_format", "max_window_size",
        "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold", "assistant_early_exit",
        "assistant_lookbehind", "target_lookbehind", "max_matching_ngram_size", "prefill_chunk_size", "generation_kwargs", "_commit_hash", "do_sample",
    ],
    new()
    {
        ["num_beams"] = ["1"],
        ["num_beam_groups"] = ["1"],
        ["num_return_sequences"] = ["1"],
        ["penalty_alpha"] = [],
        ["dola_layers"] = [],
        ["guidance_scale"] = ["1", "1.0"],
        ["constraints"] = [],
        ["force_words_ids"] = [],
        ["sequence_bias"] = [],
        ["exponential_decay_length_penalty"] = [],
        ["encoder_repetition_penalty"] = ["1", "1.0"],
        ["encoder_no_repeat_ngram_size"] = ["0"],
        ["forced_bos_token_id"] = [],
        ["forced_eos_token_id"] = [],
        ["forced_decoder_ids"] = [],
        ["prompt_lookup_num_tokens"] = [],
        ["remove_invalid_values"] = ["false"],
        ["renormalize_logits"] = ["false"],
        ["token_healing"] = ["false"],
        ["top_h"] = [],
        ["max_time"] = [],
        ["watermarking_config"] = [],
    });

    /// <summary>Reads generation_config.json of a model folder; where there is none, the token ids come from its config.json.</summary>
    /// <exception cref="CheckpointException">A setting is wrong or not implemented; names file, key and value.</exception>
    public static GenerationConfig Load(string folder, ICollection<string>? warnings = null)
    {
        string path = Path.Combine(folder, FileName);
        if (File.Exists(path))
        {
            using JsonDocument document = JsonFile.Read(path);
            return Parse(document.RootElement, path, warnings);
        }

        path = Path.Combine(folder, HuggingFaceConfig.FileName);
        using JsonDocument model = JsonFile.Read(path);
        return Ids(new ConfigReader(model.RootElement, path), new GenerationConfig());
    }

    /// <summary>The token ids of a model's configuration, all else by default.</summary>
    public static GenerationConfig Of(HuggingFaceConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return Ids(new ConfigReader(config.Root, config.Path), new GenerationConfig());
    }

    /// <summary>Reads the settings; unknown keys are added to <paramref name="warnings"/>.</summary>
    /// <exception cref="CheckpointException">A setting is wrong or not implemented; names file, key and value.</exception>
    public static GenerationConfig Parse(JsonElement root, string file, ICollection<string>? warnings = null)
    {
        ConfigReader c = new(root, file);
        GenerationConfig config = Ids(c, new GenerationConfig
        {
            DoSample = c.FlagOr("do_sample", false),
            Temperature = Within(c, "temperature", 1, 0, double.MaxValue),
            TopK = c.IsPresent("top_k") ? c.IntOr("top_k", 0, 0) : 50,
            TopP = Within(c, "top_p", 1, 0, 1),
            MinP = Within(c, "min_p", 0, 0, 1),
            TypicalP = Within(c, "typical_p", 1, 0, 1),
            EpsilonCutoff = Within(c, "epsilon_cutoff", 0, 0, 1),
            EtaCutoff = Within(c, "eta_cutoff", 0, 0, 1),
            RepetitionPenalty = c.PositiveOr("repetition_penalty", 1),
            NoRepeatNgramSize = c.IntOr("no_repeat_ngram_size", 0, 0),
            MinNewTokens = c.IntOr("min_new_tokens", 0, 0),
            MinLength = c.IntOr("min_length", 0, 0),
            MaxNewTokens = c.OptionalInt("max_new_tokens", 1),
            MaxLength = c.OptionalInt("max_length", 1),
            SuppressTokens = c.Ints("suppress_tokens"),
            BeginSuppressTokens = c.Ints("begin_suppress_tokens"),
            BadWordsIds = c.IntLists("bad_words_ids"),
            StopStrings = c.OptionalTexts("stop_strings") ?? new([]),
        });
        if (config.DoSample && config.Temperature == 0)
        {
            throw c.Error("temperature", "must be above zero when sampling; set do_sample to false for the best token");
        }

        foreach (string warning in c.RefuseUnknownBehaviour(Keys))
        {
            warnings?.Add(warning);
        }

        return config;
    }

    private static GenerationConfig Ids(ConfigReader c, GenerationConfig config) => config with
    {
        BosTokenId = c.OptionalInt("bos_token_id"),
        EosTokenIds = c.Ints("eos_token_id"),
        PadTokenId = c.OptionalInt("pad_token_id"),
    };

    private static double Within(ConfigReader c, string key, double fallback, double least, double most)
    {
        double value = c.NumberOr(key, fallback);
        return value >= least && value <= most ? value : throw c.Error(key, most == double.MaxValue ? $"must be {least} or more" : $"must be from {least} to {most}");
    }
}
