using System.Globalization;
using Graft.Bench.Peers;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>A LoRA training step of SmolLM2-135M: rank 16 on all linear layers but the head, frozen F32 base, AdamW.</summary>
internal sealed class SmolLm2Work : TrainingWork
{
    private const double LearningRate = 5e-4;
    private const int Rank = 16;
    private const double Alpha = 32;

    /// <inheritdoc/>
    public override string Name => "smollm2";

    /// <inheritdoc/>
    protected override string Describe(bool quick)
    {
        TokenBatch batch = Batch(quick);
        string model = SmolLm2.Describe(quick);
        return string.Create(CultureInfo.InvariantCulture, $"{model}, LoRA r = {Rank} on all linear layers, batch {batch.Rows} x {batch.Length}, F32, AdamW");
    }

    /// <inheritdoc/>
    protected override TokenBatch Batch(bool quick) => quick ? new TokenBatch(2, 32, 1000) : new TokenBatch(4, 128, 49152);

    /// <inheritdoc/>
    protected override GraftTrainer Ours(CpuDevice device, bool quick)
    {
        PretrainedModel model = SmolLm2.Create(device, quick);
        AdapterHost host = new(model.Model);
        LoraConfig config = new() { Rank = Rank, Alpha = Alpha, TargetModules = ModulePattern.AllLinear };
        AttachedAdapter adapter = host.Attach("bench", config, new Rng(9));
        IEnumerable<Parameter> trained = adapter.Parameters.Select(p => p.Parameter);
        return new GraftTrainer(model, trained, host.Active("bench"), Batch(quick), LearningRate, () => host.Detach("bench"));
    }

    /// <inheritdoc/>
    protected override ITrainer Theirs(GraftTrainer? source, bool quick)
    {
        TorchWeights weights = new(source is null ? null : [.. source.Model.Parameters, .. source.Trained]);
        TokenBatch batch = Batch(quick);
        return new TorchTrainer(new TorchLlama(weights, SmolLm2.Sizes(quick), batch.Length, Rank, Alpha / Rank), weights, batch, LearningRate);
    }
}
