using System.Text.Json.Nodes;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>All methods. A new one is one file and one row here.</summary>
public static class AdapterTable
{
    private static readonly string[] s_loraRanks = ["lora_A.weight", "lora_embedding_A"];

    // Of several rows of one PEFT type the more special ones come first, and the one without a discriminator last.
    private static readonly AdapterRow[] s_rows =
    [
        AdapterRow.Of<AlloraConfig>("allora", "LORA", "lora", LoraFormat.ReadAllora, LoraFormat.Write, Allora.Create) with
        {
            Discriminator = k => k.NativeMethod == "allora", WriteNative = LoraFormat.WriteNative, RankTensors = s_loraRanks, HasFanInFanOut = true,
        },
        AdapterRow.Of<DoraConfig>("dora", "LORA", "lora", LoraFormat.ReadDora, LoraFormat.Write, Dora.Create, DoraEmbedding.Create) with
        {
            Discriminator = k => k.Flag("use_dora", false), RankTensors = s_loraRanks, HasFanInFanOut = true,
        },
        AdapterRow.Of<PissaConfig>("pissa", "LORA", "lora", LoraFormat.ReadPissa, LoraFormat.Write, Pissa.Create) with
        {
            Discriminator = LoraFormat.IsPissa, CannotSave = LoraFormat.CannotSave, RankTensors = s_loraRanks, HasFanInFanOut = true,
        },
        AdapterRow.Of<LoraConfig>("lora", "LORA", "lora", LoraFormat.ReadLora, LoraFormat.Write, Lora.Create, LoraEmbedding.Create) with
        {
            RankTensors = s_loraRanks, HasFanInFanOut = true,
        },
        AdapterRow.Of<VeraConfig>("vera", "VERA", "vera", VeraConfig.Read, VeraConfig.Write, Vera.Create) with
        {
            RankTensors = ["vera_lambda_d"], HasExclusions = false, HasFanInFanOut = true,
        },
        AdapterRow.Of<MissConfig>("miss", "MISS", "miss", MissConfig.Read, MissConfig.Write, Miss.Create) with { RankTensors = ["miss_block"] },
        AdapterRow.Of<BoneConfig>("bone", "BONE", "bone", BoneConfig.Read, BoneConfig.Write, Miss.Create) with { RankTensors = ["bone_block"],
            HasDropout = false },
    ];

    /// <summary>The rows.</summary>
    public static IReadOnlyList<AdapterRow> Rows => s_rows;

    /// <summary>The options of a method from its name and a map, under PEFT's keys (`use_rslora`, `init_weights`, `rank_pattern`) or, for methods PEFT does not
    /// know, its own (`eta`): what run files hold. The common ones may also be set on the result by `with`.</summary>
    /// <param name="method">The name of a row.</param>
    /// <param name="options">The map.</param>
    /// <param name="rows">The methods to choose from; null for <see cref="Rows"/>.</param>
    /// <exception cref="ConfigurationException">No such method, an option it has not, or a value of the wrong kind.</exception>
    public static AdapterConfig Create(string method, JsonObject options, IReadOnlyList<AdapterRow>? rows = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        rows ??= s_rows;
        AdapterRow row = rows.FirstOrDefault(r => r.Name == method)
            ?? throw new ConfigurationException($"there is no adapter method '{method}'; there are {string.Join(", ", rows.Select(r => r.Name))}.");
        try
        {
            return PeftConfig.Create(row, options);
        }
        catch (CheckpointException e)
        {
            throw new ConfigurationException(e.Message, e);
        }
    }

    internal static string PeftTypes => string.Join(", ", s_rows.Select(r => r.PeftType).Distinct());

    /// <summary>The row of a method by its name; null if there is none.</summary>
    public static AdapterRow? Find(string name) => Array.Find(s_rows, r => r.Name == name);

    /// <summary>The row of a configuration. Rows of a user's own are given to the host: <see cref="AdapterHost.Methods"/>.</summary>
    internal static AdapterRow Of(AdapterConfig config, IEnumerable<AdapterRow> rows)
    {
        Type type = config.GetType();
        return rows.FirstOrDefault(r => r.ConfigType == type)
            ?? throw new ConfigurationException($"no method takes the options {type.Name}. Known are "
                + $"{string.Join(", ", rows.Select(r => r.ConfigType.Name))}.");
    }

    /// <summary>The row that a file means.</summary>
    internal static AdapterRow Of(PeftKeys keys, string peftType, IEnumerable<AdapterRow> rows)
    {
        return rows.FirstOrDefault(r => r.PeftType == peftType && (r.Discriminator is null || r.Discriminator(keys)))
            ?? throw keys.Error("peft_type", $"is not built; built are {string.Join(", ", rows.Select(r => r.PeftType).Distinct())}");
    }
}
