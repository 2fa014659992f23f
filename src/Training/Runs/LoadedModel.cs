using System.Security.Cryptography;
using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Tokenizers;
using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training.Runs;

/// <summary>A model as runs use it: frozen weights on a device, its tokenizer, and the adapters that act on it.</summary>
public sealed class LoadedModel : IDisposable
{
    // Vocabulary and merges stand at the front of a GGUF file, before its weights; no vocabulary in use is larger than this.
    private const int FingerprintBytes = 32 << 20;

    private readonly List<string> _active = [];

    private LoadedModel(PretrainedModel pretrained, TokenizerTextEncoder? encoder, Tokenizer? tokenizer, string path)
    {
        Pretrained = pretrained;
        Adapters = new AdapterHost(pretrained.Model);
        _encoder = encoder;
        Tokenizer = tokenizer;
        Path = path;
        foreach (Parameter parameter in pretrained.Model.Parameters)
        {
            parameter.Trainable = false;
        }
    }

    private readonly TokenizerTextEncoder? _encoder;

    /// <summary>The folder or file.</summary>
    public string Path { get; }

    /// <summary>The model with its configuration.</summary>
    public PretrainedModel Pretrained { get; }

    /// <summary>The decoder.</summary>
    public ILanguageModel Model => Pretrained.Model;

    /// <summary>Attaches, merges and saves adapters.</summary>
    public AdapterHost Adapters { get; }

    /// <summary>The tokenizer; null if there is none.</summary>
    public Tokenizer? Tokenizer { get; }

    /// <summary>The tokenizer as data needs it.</summary>
    /// <exception cref="ConfigurationException">The model has no tokenizer.</exception>
    public ITextEncoder Encoder => _encoder
        ?? throw new ConfigurationException($"{Path}: there is no tokenizer with this model; name one (model.tokenizer, --tokenizer).");

    /// <summary>The adapters that act, in the order in which they were added.</summary>
    public ActiveAdapters Active => new([.. _active]);

    /// <summary>The tokens that end a text: those of the generation settings and the tokenizer's own.</summary>
    public IReadOnlyList<int> EndTokens => [.. Pretrained.Generation.EosTokenIds.Concat(Tokenizer?.EosId is { } eos ? [eos] : []).Distinct()];

    /// <summary>Loads a Hugging Face folder or a GGUF file, all weights frozen.</summary>
    /// <param name="path">The folder or file.</param>
    /// <param name="device">Where it lies.</param>
    /// <param name="dtype">`f32`, `bf16`, `auto`: BF16 where the files say so, else F32; or `quantized`: what a GGUF file holds as Q4_0, Q4_1 or Q8_0 stays so, the rest is F32.</param>
    /// <param name="tokenizer">Another tokenizer; null for the model's own.</param>
    /// <param name="warning">Takes each key of config.json that says nothing to us.</param>
    /// <param name="activations">Type of the activations: F32, or BF16 on a CUDA device.</param>
    /// <exception cref="CheckpointException">A file is missing, broken, or does not fit.</exception>
    /// <exception cref="ConfigurationException">`quantized` was asked for, but the model is no GGUF file, or the device is not the CPU.</exception>
    public static LoadedModel Load(
        string path, Device device, string dtype = "auto", string? tokenizer = null, Action<string>? warning = null, DType activations = DType.F32)
    {
        ArgumentNullException.ThrowIfNull(path);
        bool keep = dtype == "quantized";
        if (keep && !path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase))
        {
            throw new ConfigurationException($"{path}: weights can stay quantised where they come from a .gguf file; choose auto, f32 or bf16 for a folder.");
        }

        LoadOptions options = new() { WeightType = TypeOf(dtype, path), KeepQuantized = keep, Tokenizer = tokenizer is null, Warning = warning, Activations = activations };
        PretrainedModel pretrained = PretrainedModel.Load(path, device, options);
        try
        {
            Tokenizer? used = tokenizer is null ? pretrained.Tokenizer : Tokenizer.Load(tokenizer);
            return new LoadedModel(pretrained, used is null ? null : new TokenizerTextEncoder(used, Fingerprint(tokenizer ?? path)), used, path);
        }
        catch
        {
            pretrained.Dispose();
            throw;
        }
    }

    /// <summary>Reads an adapter and lets it act, after those that act already.</summary>
    /// <param name="folder">Its folder in PEFT's format.</param>
    /// <exception cref="CheckpointException">It is missing, broken, or made for another model.</exception>
    public AttachedAdapter AddAdapter(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        string leaf = System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(folder)));
        string name = leaf;
        for (int i = 2; _active.Contains(name); i++)
        {
            name = $"{leaf}-{i}";
        }

        AttachedAdapter adapter = Adapters.Load(folder, name, new AdapterLoadOptions { Trainable = false });
        _active.Add(name);
        return adapter;
    }

    /// <summary>Measures next-token loss on samples, each once.</summary>
    /// <param name="samples">What to measure on.</param>
    /// <param name="batches">Rows, length and packing.</param>
    /// <param name="count">The first so many samples; null for all.</param>
    public Evaluator Evaluator(ITokenSamples samples, BatchOptions batches, long? count = null)
    {
        ArgumentNullException.ThrowIfNull(samples);
        BatchSampler sampler = new(samples, batches, SampleOrder.Sequential(samples.Count));
        return new Evaluator(new LanguageModelObjective(Model, Active), () => sampler.Take(Math.Min(count ?? samples.Count, samples.Count)));
    }

    /// <summary>Gives back adapters and weights.</summary>
    public void Dispose()
    {
        foreach (AttachedAdapter adapter in Adapters.Adapters.ToArray())
        {
            Adapters.Detach(adapter.Name);
        }

        Pretrained.Dispose();
    }

    internal AttachedAdapter Attach(string name, AdapterConfig config, Rng random)
    {
        AttachedAdapter adapter = Adapters.Attach(name, config, random);
        _active.Add(name);
        return adapter;
    }

    private static DType TypeOf(string dtype, string path)
    {
        if (dtype != "auto")
        {
            return dtype == "bf16" ? DType.BF16 : DType.F32;
        }

        if (!Directory.Exists(path))
        {
            return DType.F32;
        }

        JsonElement config = HuggingFaceConfig.Load(path).Root;
        bool has = config.TryGetProperty("dtype", out JsonElement type) || config.TryGetProperty("torch_dtype", out type);
        return has && type.ValueKind == JsonValueKind.String && type.GetString() == "bfloat16" ? DType.BF16 : DType.F32;
    }

    private static string Fingerprint(string path)
    {
        if (Directory.Exists(path) || !path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase))
        {
            string json = Directory.Exists(path) ? System.IO.Path.Combine(path, "tokenizer.json") : path;
            string config = System.IO.Path.Combine(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(json))!, "tokenizer_config.json");
            byte[] hashes = [.. SHA256.HashData(File.ReadAllBytes(json)), .. File.Exists(config) ? SHA256.HashData(File.ReadAllBytes(config)) : []];
            return Convert.ToHexStringLower(SHA256.HashData(hashes));
        }

        using FileStream file = File.OpenRead(path);
        byte[] front = new byte[Math.Min(file.Length, FingerprintBytes)];
        file.ReadExactly(front);
        return Convert.ToHexStringLower(SHA256.HashData(front));
    }
}
