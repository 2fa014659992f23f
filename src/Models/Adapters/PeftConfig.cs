using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>adapter_config.json of PEFT to and from our records. What would change the maths and is not built is refused by name; what has no effect is kept
/// and written back.</summary>
public static class PeftConfig
{
    /// <summary>PEFT's file.</summary>
    public const string FileName = "adapter_config.json";

    /// <summary>Our own file beside it, for methods that PEFT does not know: `method` and its options. PEFT ignores it.</summary>
    public const string NativeFileName = "graft_adapter.json";

    // Keys that say nothing about what is computed from the tensors of the file.
    private static readonly HashSet<string> s_harmless = new(StringComparer.Ordinal)
    {
        "revision", "inference_mode", "auto_mapping", "peft_version", "megatron_core", "qalora_group_size", "runtime_config",
        "eva_config", "corda_config", "lora_ga_config", "loftq_config", "tinit", "save_projection",
    };

    // Keys that change what is computed, with the JSON texts that mean "not used"; null always does.
    private static readonly Dictionary<string, string[]> s_behaviour = new(StringComparer.Ordinal)
    {
        ["alora_invocation_tokens"] = ["[]"],
        ["arrow_config"] = [],
        ["kasa_config"] = [],
        ["layer_replication"] = ["[]"],
        ["megatron_config"] = [],
        ["monteclora_config"] = [],
        ["target_parameters"] = ["[]"],
        ["trainable_token_indices"] = ["[]", "{}"],
        ["use_bdlora"] = ["false"],
        ["use_dora"] = ["false"],
        ["use_qalora"] = ["false"],
        ["use_rslora"] = ["false"],
        ["lora_bias"] = ["false"],
        ["ensure_weight_tying"] = ["false"],
        ["velora_config"] = [],
        ["alpha_pattern"] = ["{}"],
        ["rank_pattern"] = ["{}"],
    };

    /// <summary>Reads a configuration.</summary>
    /// <param name="json">The object.</param>
    /// <param name="file">For messages.</param>
    /// <param name="warnings">Takes one line for each key that is not known.</param>
    /// <param name="native">The object of <see cref="NativeFileName"/>; null if there is none.</param>
    /// <param name="baseHoldsResidual">The base is the one that an initialisation like PiSSA's has changed: the adapter is then a plain LoRA.</param>
    /// <param name="rows">The methods to choose from; null for <see cref="AdapterTable.Rows"/>.</param>
    /// <exception cref="CheckpointException">A type that is not built, an option that is not, or a value of the wrong kind; names key and value.</exception>
    public static AdapterConfig Parse(
        JsonElement json, string file, ICollection<string> warnings, JsonElement? native = null, bool baseHoldsResidual = false,
        IEnumerable<AdapterRow>? rows = null)
    {
        ArgumentNullException.ThrowIfNull(warnings);
        string nativeFile = Path.Combine(Path.GetDirectoryName(file) ?? "", NativeFileName);
        PeftKeys keys = new(json, file, native, nativeFile, baseHoldsResidual);
        string type = keys.Text("peft_type") ?? throw keys.Error("peft_type", $"is missing; it must be one of {AdapterTable.PeftTypes}");
        AdapterRow row = AdapterTable.Of(keys, type, rows ?? AdapterTable.Rows);
        if (keys.NativeMethod is { } method && method != row.Name)
        {
            warnings.Add($"{nativeFile}: the method '{method}' is not known here; the adapter is read as '{row.Name}'.");
        }

        AdapterConfig config = ReadCommon(keys, row, row.Read(keys));
        List<string> refused = [];
        List<KeyValuePair<string, string>> others = [];
        foreach (JsonProperty property in keys.Rest())
        {
            bool behaviour = s_behaviour.TryGetValue(property.Name, out string[]? neutral);
            string text = property.Value.GetRawText();
            if (behaviour && property.Value.ValueKind != JsonValueKind.Null && !neutral!.Contains(text))
            {
                refused.Add($"'{property.Name}' = {(text.Length <= 100 ? text : text[..100] + "...")}");
            }
            else if (!behaviour)
            {
                others.Add(KeyValuePair.Create(property.Name, text));
                if (!s_harmless.Contains(property.Name))
                {
                    warnings.Add($"{file}: the key '{property.Name}' is not known and has no effect.");
                }
            }
        }

        return refused.Count > 0
            ? throw new CheckpointException($"{file}: options that change what a {type} adapter computes are not built: {MessageList.Join(refused)}.")
            : config with { OtherKeys = new ValueList<KeyValuePair<string, string>>(others) };
    }

    /// <summary>The configuration as PEFT writes it: one flat object, keys sorted.</summary>
    /// <param name="config">What to write.</param>
    /// <param name="modules">The adapted modules: what `all-linear` stands for.</param>
    /// <param name="inputFirst">The base stores its matrices as (in, out), like GPT-2: `fan_in_fan_out`.</param>
    /// <param name="rows">The methods to choose from; null for <see cref="AdapterTable.Rows"/>.</param>
    public static string Write(AdapterConfig config, IEnumerable<string> modules, bool inputFirst, IEnumerable<AdapterRow>? rows = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        AdapterRow row = AdapterTable.Of(config, rows ?? AdapterTable.Rows);
        JsonObject json = new()
        {
            ["peft_type"] = row.PeftType,
            ["task_type"] = config.TaskType,
            ["base_model_name_or_path"] = config.BaseModel,
            ["revision"] = null,
            ["inference_mode"] = true,
            ["auto_mapping"] = null,
            ["target_modules"] = config.TargetModules.IsAllLinear ? Names(modules) : Pattern(config.TargetModules),
            ["modules_to_save"] = config.ModulesToSave.Count == 0 ? null : Names(config.ModulesToSave),
            ["bias"] = config.Bias switch { BiasTraining.None => "none", BiasTraining.All => "all", _ => row.Prefix + "_only" },
            ["layers_to_transform"] = config.LayersToTransform is { } layers ? new JsonArray([.. layers.Select(l => JsonValue.Create(l))]) : null,
            ["layers_pattern"] = config.LayersPattern is not { } patterns ? null : patterns.Count == 1 ? patterns[0] : Names(patterns),
        };
        if (config.Rank > 0)
        {
            json["r"] = config.Rank;
        }

        if (row.HasExclusions)
        {
            json["exclude_modules"] = Pattern(config.ExcludeModules);
        }

        if (row.HasDropout)
        {
            json[row.Prefix + "_dropout"] = Number(config.Dropout);
        }

        if (row.HasFanInFanOut)
        {
            json["fan_in_fan_out"] = inputFirst;
        }

        foreach ((string key, string text) in config.OtherKeys)
        {
            json[key] = JsonNode.Parse(text);
        }

        row.Write(config, json);
        return ConfigWriter.Text(new JsonObject(json.OrderBy(p => p.Key, StringComparer.Ordinal)
            .Select(p => KeyValuePair.Create(p.Key, p.Value?.DeepClone()))));
    }

    /// <summary>A number as Python would write it: whole numbers without a point.</summary>
    internal static JsonValue Number(double value) => value == Math.Floor(value) && Math.Abs(value) < 1e15 ? JsonValue.Create((long)value)
        : JsonValue.Create(Shortest(value));

    /// <summary>Patterns in their order, which decides between overlapping ones.</summary>
    internal static JsonObject Patterns(PatternTable table) => new(table.Select(e => KeyValuePair.Create(e.Key, (JsonNode?)Number(e.Value))));

    internal static JsonArray Names(IEnumerable<string> names) => new([.. names.Select(n => JsonValue.Create(n))]);

    /// <summary>The options of a method that is to be made, not read: nothing is ignored.</summary>
    internal static AdapterConfig Create(AdapterRow row, JsonObject options)
    {
        using JsonDocument json = JsonDocument.Parse(options.ToJsonString());
        string where = $"options of the adapter method '{row.Name}'";
        PeftKeys keys = new(json.RootElement, where, row.WriteNative is null ? null : json.RootElement, where, false) { IsNew = true };
        AdapterConfig config = ReadCommon(keys, row, row.Read(keys)) with { TaskType = keys.Text("task_type") ?? "CAUSAL_LM" };
        string[] unknown = [.. keys.Rest().Select(p => $"'{p.Name}'")];
        return unknown.Length == 0 ? config : throw new CheckpointException($"{where}: {string.Join(", ", unknown)} are not among them.");
    }

    private static AdapterConfig ReadCommon(PeftKeys keys, AdapterRow row, AdapterConfig config)
    {
        string bias = keys.Choice("bias", "none", "none", "all", row.Prefix + "_only");
        double dropout = row.HasDropout ? keys.Number(row.Prefix + "_dropout", 0) : 0;
        if (dropout is < 0 or >= 1)
        {
            throw keys.Error(row.Prefix + "_dropout", "must be a probability below 1");
        }

        return config with
        {
            TargetModules = keys.Modules("target_modules"),
            ExcludeModules = row.HasExclusions ? keys.Modules("exclude_modules") : ModulePattern.None,
            LayersToTransform = keys.Ints("layers_to_transform"),
            LayersPattern = keys.Texts("layers_pattern"),
            Rank = keys.Int("r", config.Rank, 1),
            ModulesToSave = new ValueList<string>(keys.Texts("modules_to_save")?.Distinct() ?? []),
            Bias = bias switch { "none" => BiasTraining.None, "all" => BiasTraining.All, _ => BiasTraining.Adapted },
            Dropout = (float)dropout,
            TaskType = keys.Text("task_type"),
            BaseModel = keys.Text("base_model_name_or_path"),
        };
    }

    // 0.05f is 0.0500000007 as a double: write what was meant.
    private static double Shortest(double value) => (float)value == value ? (double)(decimal)(float)value : value;

    private static JsonNode? Pattern(ModulePattern pattern) => pattern.Expression is { } expression ? expression : pattern.IsEmpty ? null
        : Names(pattern.Names);
}
