using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>The keys that all methods of PEFT's type LORA share.</summary>
internal static class LoraFormat
{
    private const string NotBuilt = "is an initialisation that changes the base and cannot be repeated here. Convert the adapter to its plain form "
        + "where it was made "
        + "(PEFT: save_pretrained with path_initial_model_for_weight_conversion), or load it on the changed base with AdapterLoadOptions.BaseHoldsResidual";

    private static readonly string[] s_nulls =
    [
        "megatron_config", "eva_config", "corda_config", "lora_ga_config", "velora_config", "kasa_config", "monteclora_config",
        "arrow_config", "use_bdlora", "alora_invocation_tokens", "layer_replication", "target_parameters",
    ];

    public static LoraConfig ReadLora(PeftKeys keys)
    {
        return Read(keys, new LoraConfig
        {
            RankStabilized = keys.Flag("use_rslora", false),
            LoraBias = keys.Flag("lora_bias", false),
            Initialization = Initialization(keys),
        });
    }

    public static DoraConfig ReadDora(PeftKeys keys)
    {
        _ = keys.Flag("use_dora", true);
        return Read(keys, new DoraConfig { RankStabilized = keys.Flag("use_rslora", false), Initialization = Initialization(keys) });
    }

    public static PissaConfig ReadPissa(PeftKeys keys)
    {
        string init = keys.FlagOrText("init_lora_weights", "pissa");
        return Read(keys, new PissaConfig { RankStabilized = keys.Flag("use_rslora", false), Iterations = Iterations(keys, init) });
    }

    // A randomised decomposition can be made, but not repeated for a file.
    private static int Iterations(PeftKeys keys, string init)
    {
        const string Randomised = "pissa_niter_";
        return init == "pissa" ? 0
            : keys.IsNew && init.StartsWith(Randomised, StringComparison.Ordinal)
                && int.TryParse(init.AsSpan(Randomised.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int iterations)
                    && iterations > 0 ? iterations
            : throw keys.Error("init_lora_weights", keys.IsNew ? "must be pissa, or pissa_niter_ and a number of iterations" : NotBuilt);
    }

    public static AlloraConfig ReadAllora(PeftKeys keys)
    {
        _ = keys.FlagOrText("init_lora_weights", "true");
        _ = keys.Flag("use_rslora", false);
        if (keys.IsNew)
        {
            _ = (keys.Raw("eta"), keys.Raw("mode"));
        }

        double eta = keys.Native!.PositiveOr("eta", 1);
        return Read(keys, new AlloraConfig
        {
            Eta = (float)eta,
            Mode = keys.Native.ChoiceOr("mode", "gradient", "gradient", "learning_rate") == "gradient" ? AlloraMode.Gradient : AlloraMode.LearningRate,
        });
    }

    public static bool IsPissa(PeftKeys keys)
    {
        return !keys.BaseHoldsResidual && keys.FlagOrText("init_lora_weights", "true").StartsWith("pissa", StringComparison.Ordinal);
    }

    /// <summary>A randomised decomposition would be another one when the file is read.</summary>
    public static string? CannotSave(AdapterConfig config)
    {
        return config is PissaConfig { Iterations: > 0 }
            ? "its randomised decomposition of the base cannot be repeated from a file; save the plain form (SavePlain), which fits the unchanged base" : null;
    }

    public static void WriteNative(AdapterConfig config, JsonObject json)
    {
        AlloraConfig allora = (AlloraConfig)config;
        json["eta"] = PeftConfig.Number(allora.Eta);
        json["mode"] = allora.Mode == AlloraMode.Gradient ? "gradient" : "learning_rate";
    }

    public static void Write(LoraConfig config, JsonObject json)
    {
        Write(config, json, config.RankStabilized, config.Initialization switch
        {
            LoraInitialization.Default => JsonValue.Create(true),
            LoraInitialization.Random => JsonValue.Create(false),
            LoraInitialization.Gaussian => JsonValue.Create("gaussian"),
            LoraInitialization.Eva => JsonValue.Create("eva"),
            LoraInitialization.Orthogonal => JsonValue.Create("orthogonal"),
            _ => JsonValue.Create("mica"),
        });
        json["lora_bias"] = config.LoraBias;
    }

    public static void Write(DoraConfig config, JsonObject json)
    {
        Write(new LoraConfig { RankStabilized = config.RankStabilized, Initialization = config.Initialization }.WithCommon(config), json);
        json["use_dora"] = true;
    }

    public static void Write(PissaConfig config, JsonObject json)
    {
        string name = config.Iterations == 0 ? "pissa" : string.Create(CultureInfo.InvariantCulture, $"pissa_niter_{config.Iterations}");
        Write(config, json, config.RankStabilized, JsonValue.Create(name));
    }

    /// <summary>The scaling is 1, whatever alpha was given: PEFT is told alpha = r.</summary>
    public static void Write(AlloraConfig config, JsonObject json)
    {
        Write(config with { Alpha = config.Rank, AlphaPattern = config.RankPattern }, json, false, JsonValue.Create(true));
    }

    /// <summary>The common options of another configuration.</summary>
    public static LoraConfig WithCommon(this LoraConfig config, AdapterConfig from)
    {
        return config with
        {
            TargetModules = from.TargetModules,
            ExcludeModules = from.ExcludeModules,
            LayersToTransform = from.LayersToTransform,
            LayersPattern = from.LayersPattern,
            Rank = from.Rank,
            Alpha = from.Alpha,
            RankPattern = from.RankPattern,
            AlphaPattern = from.AlphaPattern,
            ModulesToSave = from.ModulesToSave,
            Bias = from.Bias,
            Dropout = from.Dropout,
            TrainableTokens = from.TrainableTokens,
            EnsureWeightTying = from.EnsureWeightTying,
            TaskType = from.TaskType,
            BaseModel = from.BaseModel,
            OtherKeys = from.OtherKeys,
        };
    }

    private static T Read<T>(PeftKeys keys, T config)
        where T : AdapterConfig
    {
        _ = keys.Flag("fan_in_fan_out", false); // says how the base is stored, which the model knows itself
        return config with
        {
            Alpha = keys.Number("lora_alpha", 8),
            RankPattern = keys.Patterns("rank_pattern"),
            AlphaPattern = keys.Patterns("alpha_pattern"),
            EnsureWeightTying = keys.Flag("ensure_weight_tying", false),
            TrainableTokens = Tokens(keys),
        };
    }

    private static LoraInitialization Initialization(PeftKeys keys)
    {
        string name = keys.FlagOrText("init_lora_weights", "true");
        bool changesBase = name is "olora" or "corda" or "loftq" or "lora_ga" || name.StartsWith("pissa", StringComparison.Ordinal);
        return name switch
        {
            _ when changesBase => keys.BaseHoldsResidual ? LoraInitialization.Default : throw keys.Error("init_lora_weights", NotBuilt),
            "true" => LoraInitialization.Default,
            "false" => LoraInitialization.Random,
            "gaussian" => LoraInitialization.Gaussian,
            "eva" => LoraInitialization.Eva,
            "orthogonal" => LoraInitialization.Orthogonal,
            "mica" => LoraInitialization.Mica,
            _ => throw keys.Error("init_lora_weights", "is not known"),
        };
    }

    private static ValueList<TokenRows> Tokens(PeftKeys keys)
    {
        if (keys.Raw("trainable_token_indices") is not { } value)
        {
            return new ValueList<TokenRows>([]);
        }

        return value.ValueKind switch
        {
            JsonValueKind.Array => new ValueList<TokenRows>(value.GetArrayLength() == 0 ? [] : [new TokenRows("", Rows(value))]),
            JsonValueKind.Object => new ValueList<TokenRows>(value.EnumerateObject().Select(p => new TokenRows(p.Name, Rows(p.Value)))),
            _ => throw keys.Error("trainable_token_indices", "must be a list of token ids, or an object of module names and such lists"),
        };

        ValueList<int> Rows(JsonElement list)
        {
            return list.ValueKind == JsonValueKind.Array && list.EnumerateArray()
                .All(v => v.ValueKind == JsonValueKind.Number && v.TryGetInt32(out int id) && id >= 0)
                ? new ValueList<int>(list.EnumerateArray().Select(v => v.GetInt32()))
                : throw keys.Error("trainable_token_indices", "must hold token ids");
        }
    }

    private static void Write(AdapterConfig config, JsonObject json, bool rankStabilized, JsonValue initialization)
    {
        foreach (string key in s_nulls.Where(k => !json.ContainsKey(k)))
        {
            json[key] = null;
        }

        json["lora_alpha"] = PeftConfig.Number(config.Alpha);
        json["use_rslora"] = rankStabilized;
        json["use_dora"] = false;
        json["lora_bias"] = false;
        json["init_lora_weights"] = initialization;
        json["rank_pattern"] = PeftConfig.Patterns(config.RankPattern);
        json["alpha_pattern"] = PeftConfig.Patterns(config.AlphaPattern);
        json["ensure_weight_tying"] = config.EnsureWeightTying;
        json["use_qalora"] = false;
        _ = json.TryAdd("qalora_group_size", 16);
        _ = json.TryAdd("megatron_core", "megatron.core");
        _ = json.TryAdd("loftq_config", new JsonObject());
        json["trainable_token_indices"] = config.TrainableTokens.Count == 0 ? null
            : config.TrainableTokens is [{ Module: "" } only] ? Rows(only)
            : new JsonObject(config.TrainableTokens.Select(t => KeyValuePair.Create(t.Module, (JsonNode?)Rows(t))));

        static JsonArray Rows(TokenRows rows) => new([.. rows.Tokens.Select(t => JsonValue.Create(t))]);
    }
}
