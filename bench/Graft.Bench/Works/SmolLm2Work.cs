using System.Globalization;
using Graft.Bench.Peers;
using Graft.Models.Adapters;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>A LoRA training step of SmolLM2-135M: rank 16 on all linear layers but the head, frozen F32 base, AdamW.</summary>
/// <param name="checkpointing">Ours runs layers again in backward instead of keeping them; the peer keeps them.</param>
internal sealed class SmolLm2Work(bool checkpointing = false) : TrainingWork
{
    /// <summary>The adapter.</summary>
    public static LoraConfig Lora { get; } = new() { Rank = 16, Alpha = 32, TargetModules = ModulePattern.AllLinear };

    /// <inheritdoc/>
    public override string Name => checkpointing ? "smollm2-checkpointing" : "smollm2";

    /// <inheritdoc/>
    protected override TrainingTargets Targets { get; } = checkpointing ? new(Peak: 4) : new(Tokens: 2, Peak: 2);

    /// <inheritdoc/>
    protected override string Describe(bool quick)
    {
        TokenBatch batch = Batch(quick);
        string model = SmolLm2.Describe(quick);
        return string.Create(CultureInfo.InvariantCulture, $"{model}, LoRA r = {Lora.Rank} on all linear layers, batch {batch.Rows} x {batch.Length}, F32, AdamW{(checkpointing ? "; ours keeps no activations of layers" : "")}");
    }

    /// <inheritdoc/>
    protected override TokenBatch Batch(bool quick) => Tokens(quick);

    /// <summary>The batch.</summary>
    public static TokenBatch Tokens(bool quick) => quick ? new TokenBatch(2, 32, 1000) : new TokenBatch(4, 256, 49152);

    /// <inheritdoc/>
    protected override GraftTrainer Ours(CpuDevice device, bool quick)
    {
        return SmolLm2.Trainer(device, quick, Lora, Batch(quick), checkpointing);
    }

    /// <inheritdoc/>
    protected override ITrainer Theirs(GraftTrainer? source, bool quick)
    {
        TorchWeights weights = new(source is null ? null : [.. source.Model.Parameters, .. source.Trained]);
        TokenBatch batch = Batch(quick);
        return new TorchTrainer(new TorchLlama(weights, SmolLm2.Sizes(quick), batch.Length, Lora.Rank, Lora.Alpha / Lora.Rank), weights, batch, SmolLm2.LearningRate);
    }
}
