using System.Globalization;
using Graft.Bench.Peers;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>A full training step of GPT-2: every parameter, F32, AdamW, drawn weights, no dropout.</summary>
internal sealed class Gpt2Work : TrainingWork
{
    private const double LearningRate = 1e-4;

    /// <inheritdoc/>
    public override string Name => "gpt2";

    /// <inheritdoc/>
    protected override string Describe(bool quick)
    {
        TokenBatch batch = Batch(quick);
        string size = quick ? "of 2 small layers" : "124M";
        return string.Create(CultureInfo.InvariantCulture, $"GPT-2 {size}, batch {batch.Rows} x {batch.Length}, F32, AdamW on all parameters");
    }

    /// <inheritdoc/>
    protected override TokenBatch Batch(bool quick) => quick ? new TokenBatch(2, 32, 1000) : new TokenBatch(4, 64, 50257);

    /// <inheritdoc/>
    protected override GraftTrainer Ours(CpuDevice device, bool quick)
    {
        PretrainedModel model = PretrainedModel.Create(Config(quick), device, new Rng(3));
        foreach (Parameter parameter in model.Model.Parameters)
        {
            parameter.Trainable = true;
        }

        return new GraftTrainer(model, model.Model.Parameters, ActiveAdapters.None, Batch(quick), LearningRate);
    }

    /// <inheritdoc/>
    protected override ITrainer Theirs(GraftTrainer? source, bool quick)
    {
        TorchWeights weights = new(source?.Model.Parameters);
        return quick
            ? new TorchTrainer(new TorchGpt2(weights, 1000, 64, 128, 2, 4), weights, Batch(quick), LearningRate)
            : new TorchTrainer(new TorchGpt2(weights, 50257, 1024, 768, 12, 12), weights, Batch(quick), LearningRate);
    }

    private static string Config(bool quick) => """
        {"model_type": "gpt2", "vocab_size": VOCABULARY, "n_positions": POSITIONS, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS,
         "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
        """
        .Replace("VOCABULARY", quick ? "1000" : "50257", StringComparison.Ordinal)
        .Replace("POSITIONS", quick ? "64" : "1024", StringComparison.Ordinal)
        .Replace("WIDTH", quick ? "128" : "768", StringComparison.Ordinal)
        .Replace("LAYERS", quick ? "2" : "12", StringComparison.Ordinal)
        .Replace("HEADS", quick ? "4" : "12", StringComparison.Ordinal);
}
