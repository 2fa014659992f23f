using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Models.Layers;
using Graft.Models.Tokenizers;
using Graft.Runtime;

namespace Graft.Models.Architectures;

/// <summary>How a model is loaded.</summary>
public sealed record LoadOptions
{
    /// <summary>F32 or BF16, for the matrices in memory.</summary>
    public DType WeightType { get; init; } = DType.F32;

    /// <summary>Matrices of a GGUF file that stand there as Q4_0, Q4_1 or Q8_0 stay as they are, frozen, and are read so by every product (on the CPU); all others become the <see cref="WeightType"/>.</summary>
    public bool KeepQuantized { get; init; }

    /// <summary>F32, or BF16 on devices that take it: the type of hidden states.</summary>
    public DType Activations { get; init; } = DType.F32;

    /// <summary>False leaves the tokenizer out.</summary>
    public bool Tokenizer { get; init; } = true;

    /// <summary>Called with each key of config.json that says nothing to us.</summary>
    public Action<string>? Warning { get; init; }
}

/// <summary>A model with all that comes with it: weights in memory, configuration, tokenizer, generation settings.</summary>
public sealed class PretrainedModel : IDisposable
{
    private readonly string? _folder;

    private PretrainedModel(ILanguageModel model, IReadOnlyList<QuantizedWeight> quantized, Arena weights, HuggingFaceConfig config, string? folder)
    {
        Model = model;
        Quantized = quantized;
        Weights = weights;
        Config = config;
        _folder = folder;
    }

    /// <summary>The model.</summary>
    public ILanguageModel Model { get; }

    /// <summary>The weights that stayed quantised; they are not among the model's parameters.</summary>
    public IReadOnlyList<QuantizedWeight> Quantized { get; }

    /// <summary>Holds the weights; ends with this object.</summary>
    public Arena Weights { get; }

    /// <summary>config.json as it was read, or as derived from a GGUF file.</summary>
    public HuggingFaceConfig Config { get; }

    /// <summary>The tokenizer; null if there is none, or it was not asked for.</summary>
    public Tokenizer? Tokenizer { get; private init; }

    /// <summary>generation_config.json; the defaults if there is none.</summary>
    public GenerationConfig Generation { get; private init; } = new();

    /// <summary>The chat template's text; null if there is none.</summary>
    public string? ChatTemplate { get; private init; }

    /// <summary>Loads a Hugging Face folder or a GGUF file. On the meta device only shapes are taken.</summary>
    /// <exception cref="CheckpointException">A file is missing or broken, or the weights do not fit the configuration; names all mismatches.</exception>
    public static PretrainedModel Load(string path, Device device, LoadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(device);
        options ??= new LoadOptions();
        if (!Directory.Exists(path) && !File.Exists(path))
        {
            throw new CheckpointException($"{path}: there is no such folder or file. Give a Hugging Face folder (config.json, *.safetensors, tokenizer.json) or a .gguf file.");
        }

        using ICheckpoint checkpoint = path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) ? GgufCheckpoint.Open(path) : CheckpointReader.Open(path);
        GgufCheckpoint? gguf = checkpoint as GgufCheckpoint;
        HuggingFaceConfig config = gguf is null ? HuggingFaceConfig.Load(path) : gguf.Config;
        Arena weights = new(device, "weights");
        try
        {
            ModelBuilder builder = new(weights, options.WeightType, options.Activations, options.KeepQuantized ? gguf : null);
            ILanguageModel model = ArchitectureTable.Build(config, builder, options.Warning);
            builder.Load(checkpoint, ArchitectureTable.Prefix(config.ModelType), ArchitectureTable.IsTied(model) ? ["lm_head.weight"] : []);
            return new PretrainedModel(model, builder.Quantized, weights, config, Directory.Exists(path) ? path : null)
            {
                Tokenizer = !options.Tokenizer ? null : gguf is null ? FindTokenizer(path) : gguf.Vocabulary is { } v ? GgufTokenizer.Create(v) : null,
                Generation = gguf is null ? GenerationConfig.Load(path) : GenerationConfig.Of(config),
                ChatTemplate = gguf is null ? FindTemplate(path) : gguf.ChatTemplate,
            };
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>A model of a configuration with drawn weights: benchmarks, tests, training from scratch.</summary>
    /// <param name="config">The text of a config.json.</param>
    /// <param name="device">Where it lies.</param>
    /// <param name="random">Each parameter takes the stream of its own name.</param>
    /// <param name="options">The types of weights and activations.</param>
    public static PretrainedModel Create(string config, Device device, Rng random, LoadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        options ??= new LoadOptions();
        HuggingFaceConfig parsed = HuggingFaceConfig.Parse(config, HuggingFaceConfig.FileName);
        Arena weights = new(device, "weights");
        try
        {
            ModelBuilder builder = new(weights, options.WeightType, options.Activations);
            ILanguageModel model = ArchitectureTable.Build(parsed, builder, options.Warning);
            builder.Draw(random, ArchitectureTable.InitializerRange(model));
            return new PretrainedModel(model, [], weights, parsed, null);
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>Writes a Hugging Face folder: weights in the type they have in memory, config.json as it was read (its `dtype` too, whatever type the weights have now), and the tokenizer's files where they are known. All or nothing.</summary>
    /// <param name="folder">Made, or replaced as a whole.</param>
    /// <param name="maxShardBytes">The largest file of weights.</param>
    /// <exception cref="ConfigurationException">Weights are quantised.</exception>
    public void Save(string folder, long maxShardBytes = 5L << 30)
    {
        ArgumentNullException.ThrowIfNull(folder);
        if (Quantized.Count > 0)
        {
            throw new ConfigurationException($"{folder}: {Quantized.Count} weights of the model are quantised ('{Quantized[0].Name}' is {Quantized[0].Type.Name()}), which a folder cannot hold; load it with weights as bf16 or f32 to save it.");
        }

        using AtomicDirectory directory = AtomicDirectory.Create(folder);
        _ = SafeTensorsWriter.WriteSharded(directory.Temporary, [.. Model.Parameters.Select(p => TensorSource.Of(p.Name, p.Value))], maxShardBytes);
        File.WriteAllText(Path.Combine(directory.Temporary, HuggingFaceConfig.FileName), Config.Text);
        foreach (string name in s_companions)
        {
            if (_folder is not null && File.Exists(Path.Combine(_folder, name)))
            {
                File.Copy(Path.Combine(_folder, name), Path.Combine(directory.Temporary, name), overwrite: true);
            }
        }

        directory.Commit();
    }

    /// <summary>Gives the weights' memory back.</summary>
    public void Dispose() => Weights.Dispose();

    private static readonly string[] s_companions =
        ["generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];

    private static Tokenizer? FindTokenizer(string folder) => File.Exists(Path.Combine(folder, "tokenizer.json")) ? Tokenizer.Load(folder) : null;

    private static string? FindTemplate(string folder)
    {
        string file = Path.Combine(folder, "chat_template.jinja");
        return File.Exists(file) ? File.ReadAllText(file) : null;
    }
}
