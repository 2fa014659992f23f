using System.Globalization;
using Graft.Bench.Peers;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>A full training step of GPT-2: every parameter, F32, AdamW, drawn weights, no dropout.</summary>
internal sealed class Gpt2Work : TrainingWork
{
    /// <summary>Of AdamW, weight decay 0.01.</summary>
    public const double LearningRate = 1e-4;

    /// <inheritdoc/>
    public override string Name => "gpt2";

    /// <inheritdoc/>
    protected override TrainingTargets Targets { get; } = new(Step: 2.5, Steady: 1 / 0.6);

    /// <inheritdoc/>
    protected override string Describe(bool quick)
    {
        TokenBatch batch = Batch(quick);
        string size = quick ? "of 2 small layers" : "124M";
        return string.Create(CultureInfo.InvariantCulture, $"GPT-2 {size}, batch {batch.Rows} x {batch.Length}, F32, AdamW on all parameters");
    }

    /// <inheritdoc/>
    protected override TokenBatch Batch(bool quick) => Tokens(quick);

    /// <summary>The batch.</summary>
    public static TokenBatch Tokens(bool quick) => quick ? new TokenBatch(2, 32, Sizes(true).Vocabulary) : new TokenBatch(4, 64, Sizes(false).Vocabulary);

    /// <inheritdoc/>
    protected override GraftTrainer Ours(CpuDevice device, bool quick) => Create(device, quick);

    /// <summary>The trainer.</summary>
    public static GraftTrainer Create(CpuDevice device, bool quick)
    {
        PretrainedModel model = PretrainedModel.Create(Config(Sizes(quick)), device, new Rng(3));
        foreach (Parameter parameter in model.Model.Parameters)
        {
            parameter.Trainable = true;
        }

        return new GraftTrainer(model, model.Model.Parameters, ActiveAdapters.None, Tokens(quick), LearningRate);
    }

    /// <inheritdoc/>
    protected override ITrainer Theirs(GraftTrainer? source, bool quick)
    {
        TorchWeights weights = new(source?.Model.Parameters);
        return new TorchTrainer(new TorchGpt2(weights, Sizes(quick)), weights, Batch(quick), LearningRate);
    }

    /// <summary>Its sizes, or small ones.</summary>
    public static Gpt2Sizes Sizes(bool quick) => quick ? new Gpt2Sizes(1000, 64, 128, 2, 4) : new Gpt2Sizes(50257, 1024, 768, 12, 12);

    private static string Config(Gpt2Sizes s) => string.Create(
        CultureInfo.InvariantCulture,
        $$"""
        {"model_type": "gpt2", "vocab_size": {{s.Vocabulary}}, "n_positions": {{s.Positions}}, "n_embd": {{s.Width}}, "n_layer": {{s.Layers}}, "n_head": {{s.Heads}},
         "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
        """);
}
