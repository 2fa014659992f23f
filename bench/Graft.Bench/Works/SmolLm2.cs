using System.Globalization;
using Graft.Bench.Peers;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>SmolLM2-135M: its sizes, and a model of them, drawn or read from the GGUF file below GRAFT_MODELS.</summary>
internal static class SmolLm2
{
    /// <summary>Of AdamW, weight decay 0.01.</summary>
    public const double LearningRate = 5e-4;

    /// <summary>The sizes of its config.json, or small ones.</summary>
    public static LlamaSizes Sizes(bool quick) => quick
        ? new LlamaSizes(1000, 96, 192, 2, 3, 1, 32, 100000, 1e-5)
        : new LlamaSizes(49152, 576, 1536, 30, 9, 3, 64, 100000, 1e-5);

    /// <summary>Where the weights come from, for notes.</summary>
    public static string Describe(bool quick) => quick ? "2 small layers, drawn" : Find() is { } path ? Path.GetFileName(path) : "SmolLM2-135M, drawn weights";

    /// <summary>The model in F32.</summary>
    public static PretrainedModel Create(Device device, bool quick)
    {
        if (!quick && Find() is { } path)
        {
            PretrainedModel loaded = PretrainedModel.Load(path, device, new LoadOptions { Tokenizer = false });
            LlamaSizes sizes = Sizes(false);
            if (loaded.Model is Llama { Config: var c } && c.VocabSize == sizes.Vocabulary && c.HiddenSize == sizes.Width && c.NumHiddenLayers == sizes.Layers)
            {
                return loaded;
            }

            loaded.Dispose();
            Console.Error.WriteLine($"{path} is not SmolLM2-135M; its weights are drawn instead.");
        }

        return Drawn(device, Sizes(quick));
    }

    /// <summary>A drawn model of some sizes.</summary>
    public static PretrainedModel Drawn(Device device, LlamaSizes sizes) => PretrainedModel.Create(Config(sizes), device, new Rng(3));

    /// <summary>Trains an adapter on the frozen model.</summary>
    public static GraftTrainer Trainer(CpuDevice device, bool quick, AdapterConfig adapter, TokenBatch batch, bool checkpointing = false)
    {
        const string Name = "bench";
        PretrainedModel model = Create(device, quick);
        AdapterHost host = new(model.Model);
        IEnumerable<Parameter> trained = host.Attach(Name, adapter, new Rng(9)).Parameters.Select(p => p.Parameter);
        return new GraftTrainer(model, trained, host.Active(Name), batch, LearningRate, () => host.Detach(Name)) { ActivationCheckpointing = checkpointing };
    }

    /// <summary>The first GGUF file of the model below GRAFT_MODELS; null where there is none.</summary>
    public static string? Find()
    {
        string? folder = Environment.GetEnvironmentVariable("GRAFT_MODELS");
        return folder is null || !Directory.Exists(folder) ? null
            : Directory.EnumerateFiles(folder, "*.gguf", SearchOption.AllDirectories)
                .Where(f => f.Contains("smollm2-135m", StringComparison.OrdinalIgnoreCase)).Order(StringComparer.Ordinal).FirstOrDefault();
    }

    private static string Config(LlamaSizes s) => string.Create(
        CultureInfo.InvariantCulture,
        $$"""
        {"model_type": "llama", "vocab_size": {{s.Vocabulary}}, "hidden_size": {{s.Width}}, "intermediate_size": {{s.FeedForward}},
         "num_hidden_layers": {{s.Layers}}, "num_attention_heads": {{s.Heads}}, "num_key_value_heads": {{s.KeyHeads}}, "head_dim": {{s.HeadSize}},
         "max_position_embeddings": 8192, "rope_theta": {{s.Theta}},
         "rms_norm_eps": {{s.Epsilon}}, "tie_word_embeddings": true, "hidden_act": "silu", "initializer_range": 0.041666666666666664}
        """);
}
