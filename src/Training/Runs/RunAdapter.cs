using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Training.Runs;

/// <summary>From the section `adapter` of a run file to the method's own configuration. Options have the names of PEFT's adapter_config.json, and are read by the code that reads that file.</summary>
internal static class RunAdapter
{
    /// <exception cref="ConfigurationException">There is no such method or option, or a value is impossible; names place and what is known.</exception>
    public static AdapterConfig Config(AdapterSection section, string baseModel)
    {
        AdapterRow row = AdapterTable.Find(section.Method)
            ?? throw new ConfigurationException($"adapter.method is '{section.Method}'; allowed: {string.Join(", ", AdapterTable.Rows.Select(r => r.Name))}.");
        if (section.Dropout > 0 && !row.HasDropout)
        {
            throw new ConfigurationException($"adapter.dropout is {section.Dropout}; {row.Name} has no dropout.");
        }

        List<string> warnings = [];
        try
        {
            using JsonDocument json = JsonDocument.Parse(Keys(section, row).ToJsonString());
            using JsonDocument? native = row.WriteNative is null ? null : JsonDocument.Parse(Native(section, row).ToJsonString());
            AdapterConfig config = PeftConfig.Parse(json.RootElement, section.Options.Where, warnings, native?.RootElement);
            return warnings.Count > 0 ? throw new ConfigurationException($"adapter.options: {warnings[0]}") : config with { BaseModel = baseModel };
        }
        catch (CheckpointException e)
        {
            throw new ConfigurationException($"adapter.options of {row.Name}: {e.Message}", e);
        }
    }

    /// <summary>A rank above the smaller side of a matrix is no rank.</summary>
    /// <exception cref="ConfigurationException">A target of a low-rank method is too small for its rank.</exception>
    public static void CheckRanks(AttachedAdapter adapter, ILanguageModel model)
    {
        if (adapter.Row.Prefix != "lora")
        {
            return;
        }

        foreach (Linear linear in model.Linears.Where(l => adapter.Modules.Contains(l.Name)))
        {
            int rank = adapter.Config.RankOf(linear.Name);
            if (rank > Math.Min(linear.In, linear.Out))
            {
                throw new ConfigurationException($"adapter.rank is {rank}, but '{linear.Name}' is a matrix of {linear.Out} x {linear.In}: its updates have at most rank {Math.Min(linear.In, linear.Out)}.");
            }
        }
    }

    private static JsonObject Keys(AdapterSection section, AdapterRow row)
    {
        JsonObject keys = new()
        {
            ["peft_type"] = row.PeftType,
            ["task_type"] = "CAUSAL_LM",
            ["r"] = section.Rank,
            ["target_modules"] = section.Targets is ["all-linear"] ? "all-linear" : new JsonArray([.. section.Targets.Select(t => (JsonNode)t)]),
        };
        if (row.Prefix == "lora")
        {
            keys["lora_alpha"] = section.Alpha;
        }

        if (row.HasDropout)
        {
            keys[row.Prefix + "_dropout"] = section.Dropout;
        }

        if (row.Name == "dora")
        {
            keys["use_dora"] = true;
        }
        else if (row.Name == "pissa")
        {
            keys["init_lora_weights"] = "pissa";
        }

        foreach ((string key, JsonNode? value) in section.Options.Values.Where(o => row.WriteNative is null || !s_native.Contains(o.Key)))
        {
            keys[key] = value?.DeepClone();
        }

        return keys;
    }

    // What PEFT has no key for: the options of ALLoRA.
    private static readonly string[] s_native = ["eta", "mode"];

    private static JsonObject Native(AdapterSection section, AdapterRow row)
    {
        JsonObject keys = new() { ["method"] = row.Name };
        foreach (string key in s_native)
        {
            if (section.Options.Values[key] is { } value)
            {
                keys[key] = value.DeepClone();
            }
        }

        return keys;
    }
}
