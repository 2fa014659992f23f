using System.Text.Json.Nodes;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Training.Runs;

/// <summary>From the section `adapter` of a run file to the method's own configuration. Options have the names of PEFT's adapter_config.json.</summary>
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

        try
        {
            return AdapterTable.Create(row.Name, Options(section, row)) with { BaseModel = baseModel };
        }
        catch (ConfigurationException e)
        {
            throw new ConfigurationException($"{section.Options.Where}: adapter: {e.Message}", e);
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
                throw new ConfigurationException($"adapter.rank is {rank}, but '{linear.Name}' is a matrix of {linear.Out} x {linear.In}: "
                    + $"its updates have at most rank {Math.Min(linear.In, linear.Out)}.");
            }
        }
    }

    private static JsonObject Options(AdapterSection section, AdapterRow row)
    {
        JsonObject options = new()
        {
            ["r"] = section.Rank,
            ["target_modules"] = section.Targets is ["all-linear"] ? "all-linear" : new JsonArray([.. section.Targets.Select(t => (JsonNode)t)]),
        };
        if (row.Prefix == "lora")
        {
            options["lora_alpha"] = section.Alpha;
        }

        if (row.HasDropout)
        {
            options[row.Prefix + "_dropout"] = section.Dropout;
        }

        if (row.Name == "pissa")
        {
            options["init_lora_weights"] = "pissa";
        }

        foreach ((string key, JsonNode? value) in section.Options.Values)
        {
            options[key] = value?.DeepClone();
        }

        return options;
    }
}
