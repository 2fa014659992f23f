using Graft.Models.Checkpoints;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Architectures;

/// <summary>One row of the table of architectures.</summary>
/// <param name="ModelType">As `model_type` in config.json.</param>
/// <param name="Prefix">What names in files of the bare model lack.</param>
/// <param name="Covers">For docs and `graft methods`.</param>
/// <param name="Build">Makes the modules.</param>
public sealed record ArchitectureRow(string ModelType, string Prefix, string Covers, Func<HuggingFaceConfig, ModelBuilder, ICollection<string>, ILanguageModel> Build);

/// <summary>The architectures, by `model_type`. A new one is a new file and a row here.</summary>
public static class ArchitectureTable
{
    /// <summary>The rows.</summary>
    public static IReadOnlyList<ArchitectureRow> Rows { get; } =
    [
        new("llama", "model.", "Llama 2 and 3, SmolLM2, TinyLlama: rotary with scaling, grouped queries", BuildLlama),
        new("mistral", "model.", "Mistral: sliding window", BuildLlama),
        new("qwen2", "model.", "Qwen2, Qwen2.5: biases on q, k, v", BuildLlama),
        new("qwen3", "model.", "Qwen3: norms on each head of q and k", BuildLlama),
        new("gpt2", "transformer.", "GPT-2, DistilGPT-2: learned positions, layer norms", (config, builder, warnings) => new Gpt2(Gpt2Config.Parse(config.Root, config.Path, warnings), builder)),
    ];

    /// <summary>Makes the modules of a configuration; their parameters are still to be loaded or drawn.</summary>
    /// <exception cref="CheckpointException">A setting is wrong or not implemented; names it.</exception>
    public static ILanguageModel Build(HuggingFaceConfig config, ModelBuilder builder, Action<string>? warning = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        List<string> warnings = [];
        ILanguageModel model = Row(config.ModelType).Build(config, builder, warnings);
        if (warning is not null)
        {
            warnings.ForEach(warning);
        }

        return model;
    }

    internal static string Prefix(string modelType) => Row(modelType).Prefix;

    internal static bool IsTied(ILanguageModel model) => model.Embeddings.Any(e => e.Shares(model.Head));

    internal static float InitializerRange(ILanguageModel model) => model switch
    {
        Llama llama => llama.Config.InitializerRange,
        Gpt2 gpt2 => gpt2.Config.InitializerRange,
        _ => 0.02f,
    };

    private static ArchitectureRow Row(string modelType)
    {
        return Rows.FirstOrDefault(r => r.ModelType == modelType)
            ?? throw new CheckpointException($"model_type '{modelType}' is not built; there are {string.Join(", ", Rows.Select(r => r.ModelType))}.");
    }

    private static Llama BuildLlama(HuggingFaceConfig config, ModelBuilder builder, ICollection<string> warnings)
    {
        return new Llama(LlamaConfig.Parse(config.Root, config.Path, warnings), builder);
    }
}
