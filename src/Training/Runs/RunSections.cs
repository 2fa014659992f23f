using Graft.Training.Data;
using Graft.Training.Optimizers;

namespace Graft.Training.Runs;

/// <summary>Section `model`.</summary>
/// <param name="Path">Folder in Hugging Face layout or GGUF file, absolute.</param>
/// <param name="Tokenizer">Folder or file of another tokenizer, absolute; null for the model's own.</param>
/// <param name="DType">`auto`, `f32`, `bf16` or `quantized`.</param>
public sealed record ModelSection(string Path, string? Tokenizer, string DType)
{
    /// <summary>Type of the activations: F32, or BF16 on a CUDA device.</summary>
    public Graft.Runtime.DType Activations { get; init; } = Graft.Runtime.DType.F32;

    /// <summary>Where the model can be had, in words; null if nothing is said.</summary>
    public string? Source { get; init; }

    /// <summary>True for a GGUF file.</summary>
    public bool IsGguf => Path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase);
}

/// <summary>Section `data`.</summary>
/// <param name="Train">Training samples, absolute.</param>
/// <param name="Eval">Samples for evaluation, absolute; null without.</param>
/// <param name="Dataset">How files become tokens.</param>
/// <param name="Packing">How samples share rows.</param>
/// <param name="Shuffle">Draw a new order for each epoch.</param>
/// <param name="EvalSamples">Samples to evaluate on; null for all.</param>
public sealed record DataSection(string Train, string? Eval, DatasetOptions Dataset, PackingMode Packing, bool Shuffle, long? EvalSamples);

/// <summary>Section `adapter`.</summary>
/// <param name="Method">Name of the method.</param>
/// <param name="Rank">Rank of the update.</param>
/// <param name="Alpha">The update is scaled by alpha / rank.</param>
/// <param name="Dropout">Probability of dropping an input of the adapter.</param>
/// <param name="Targets">`all-linear` alone, or names of modules.</param>
/// <param name="Options">Further options of the method.</param>
public sealed record AdapterSection(string Method, int Rank, double Alpha, double Dropout, IReadOnlyList<string> Targets, OptionMap Options);

/// <summary>Section `optimizer`.</summary>
/// <param name="Name">Name of the update rule.</param>
/// <param name="LearningRate">Largest learning rate.</param>
/// <param name="Beta1">Decay of the running mean.</param>
/// <param name="Beta2">Decay of the running square.</param>
/// <param name="Epsilon">Added to the root of the running square.</param>
/// <param name="WeightDecay">Decoupled weight decay.</param>
/// <param name="MaxGradNorm">Global norm that gradients are scaled down to; 0 for none.</param>
/// <param name="Options">Further options of the update rule.</param>
public sealed record OptimizerSection(
    string Name,
    double LearningRate,
    double Beta1,
    double Beta2,
    double Epsilon,
    double WeightDecay,
    double MaxGradNorm,
    OptionMap Options);

/// <summary>Section `schedule`.</summary>
/// <param name="Name">Name of the schedule, one of <see cref="ScheduleTable.Names"/>.</param>
/// <param name="WarmupRatio">The warm-up as a part of all steps; null where steps are given.</param>
/// <param name="DecaySteps">Steps of the final decay; null for a tenth of all steps.</param>
/// <param name="Settings">Everything that does not depend on the length of the run.</param>
public sealed record ScheduleSection(string Name, double? WarmupRatio, long? DecaySteps, ScheduleSettings Settings)
{
    /// <summary>The schedule of a run of so many optimizer steps.</summary>
    /// <exception cref="Graft.Runtime.ConfigurationException">Warm-up and decay do not fit into the steps.</exception>
    public ISchedule Create(long totalSteps)
    {
        long warmup = WarmupRatio is { } ratio ? (long)Math.Ceiling(ratio * totalSteps) : Settings.WarmupSteps;
        return ScheduleTable.Create(Name, Settings with { TotalSteps = totalSteps, WarmupSteps = warmup, DecaySteps = DecaySteps ?? totalSteps / 10 });
    }
}

/// <summary>Section `training`.</summary>
public sealed record TrainingSection
{
    /// <summary>Optimizer steps; null where epochs decide.</summary>
    public long? Steps { get; init; }

    /// <summary>Passes over the data; null where steps decide.</summary>
    public long? Epochs { get; init; }

    /// <summary>Rows of a micro-batch, B.</summary>
    public int BatchSize { get; init; }

    /// <summary>Tokens of a row, T.</summary>
    public int SequenceLength { get; init; }

    /// <summary>Micro-batches of one optimizer step.</summary>
    public int GradientAccumulationSteps { get; init; }

    /// <summary>Recompute activations in the backward pass.</summary>
    public bool ActivationCheckpointing { get; init; }

    /// <summary>Record micro-batches as CUDA graphs.</summary>
    public bool CudaGraph { get; init; }

    /// <summary>Seed of everything random.</summary>
    public ulong Seed { get; init; }

    /// <summary>`cpu`, `cuda` or `cuda:N`.</summary>
    public string Device { get; init; } = "cpu";

    /// <summary>Threads; 0 for every core.</summary>
    public int Threads { get; init; }

    /// <summary>Optimizer steps between two reports of the loss.</summary>
    public long LogEvery { get; init; }

    /// <summary>Optimizer steps between two evaluations; 0 only before and after.</summary>
    public long EvalEvery { get; init; }

    /// <summary>Optimizer steps between two checkpoints; 0 only at the end.</summary>
    public long SaveEvery { get; init; }

    /// <summary>Checkpoints that are kept.</summary>
    public int KeepCheckpoints { get; init; }

    /// <summary>Deliver the weights of the best evaluation.</summary>
    public bool KeepBest { get; init; }

    /// <summary>Evaluations without progress after which training stops; 0 for never.</summary>
    public int EarlyStoppingPatience { get; init; }

    /// <summary>How much lower the evaluation loss must be to count as progress.</summary>
    public double EarlyStoppingMinDelta { get; init; }

    /// <summary>Stop if a trainable tensor receives no gradient in the first step.</summary>
    public bool RequireGradients { get; init; }

    /// <summary>Refuse data in which no end-of-sequence token carries loss.</summary>
    public bool RequireStopToken { get; init; }
}

/// <summary>Section `generation`.</summary>
/// <param name="Prompts">Prompts to complete before and after training.</param>
/// <param name="MaxNewTokens">Most tokens of a completion.</param>
/// <param name="Temperature">0 always takes the likeliest token.</param>
/// <param name="TopK">0 for all tokens.</param>
/// <param name="TopP">1 for all tokens.</param>
public sealed record GenerationSection(int Prompts, int MaxNewTokens, double Temperature, int TopK, double TopP);

/// <summary>Section `output`.</summary>
/// <param name="Path">Folder of everything that is written, absolute.</param>
/// <param name="Merged">Also write the whole model with the adapter merged.</param>
public sealed record OutputSection(string Path, bool Merged);
