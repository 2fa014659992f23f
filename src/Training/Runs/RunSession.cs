using Graft.Models.Adapters;
using Graft.Runtime;
using Graft.Training.Data;
using Graft.Training.Optimizers;
using Microsoft.Extensions.Logging;

namespace Graft.Training.Runs;

/// <summary>How a run is opened.</summary>
public sealed record RunSessionOptions
{
    /// <summary>Where it runs; null makes the run's own device. Not disposed by the session if given.</summary>
    public Device? Device { get; init; }

    /// <summary>Go on from the newest checkpoint in the output folder, if there is one. Without it a run starts anew, and checkpoints of an earlier one are
    /// removed.</summary>
    public bool Resume { get; init; }

    /// <summary>Measures where the time of some steps goes; null for none.</summary>
    public StepProfileOptions? Profile { get; init; }

    /// <summary>Takes the course of the run in words.</summary>
    public ILogger? Logger { get; init; }

    /// <summary>Takes what a user should know but need not act on: unknown keys of config.json, data that was left out.</summary>
    public Action<string>? Warning { get; init; }
}

/// <summary>A run file brought to life: model, adapter, data, optimizer, schedule and <see cref="Trainer"/>, as `graft train` uses them. Writes nothing to a
/// console.</summary>
/// <remarks>On a <see cref="MetaDevice"/> the same run only accounts its memory: `TrainingPlan.OfAsync(session.Trainer)`.</remarks>
public sealed partial class RunSession : IDisposable
{
    private const string AdapterName = "adapter";

    private readonly bool _ownsDevice;
    private readonly Arena _training;

    private RunSession(RunFile run, RunSessionOptions options, CancellationToken cancellation)
    {
        Run = run;
        Device = options.Device ?? DeviceName.Create(run.Training.Device, run.Training.Threads);
        _ownsDevice = options.Device is null;
        _training = new Arena(Device, "training");
        try
        {
            Device.Prepare();
            Model = LoadedModel.Load(run.Model.Path, Device, run.Model.DType, run.Model.Tokenizer, options.Warning, run.Model.Activations);
            CheckLength();
            _rule = OptimizerTable.Create(run.Optimizer);
            Adapter = Attach();
            Train = OpenData(run.Data.Train, options, cancellation);
            Evaluation = run.Data.Eval is { } eval ? OpenData(eval, options, cancellation) : null;
            if (run.Training.RequireStopToken && Model.EndTokens.Count > 0)
            {
                TrainingChecks.RequireStopToken(Train, [.. Model.EndTokens]);
            }

            Sampler = new BatchSampler(Train, Batches, run.Data.Shuffle
                ? SampleOrder.Shuffled(Train.Count, new Rng(run.Training.Seed).Stream("data"))
                : SampleOrder.Sequential(Train.Count));
            TotalSteps = run.Training.Steps ?? StepsOf(run.Training.Epochs ?? 1);
            _schedule = run.Schedule.Create(TotalSteps);
            CreateOutput();
            Trainer = CreateTrainer(options);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    private readonly IOptimizerRule _rule = null!;
    private readonly ISchedule _schedule = null!;

    /// <summary>The file.</summary>
    public RunFile Run { get; }

    /// <summary>Where it runs.</summary>
    public Device Device { get; }

    /// <summary>The model with its tokenizer.</summary>
    public LoadedModel Model { get; } = null!;

    /// <summary>The adapter that is trained; null where the whole model is.</summary>
    public AttachedAdapter? Adapter { get; }

    /// <summary>The training samples.</summary>
    public TokenizedDataset Train { get; } = null!;

    /// <summary>The held-out samples; null without.</summary>
    public TokenizedDataset? Evaluation { get; }

    /// <summary>Makes the training batches.</summary>
    public BatchSampler Sampler { get; } = null!;

    /// <summary>Optimizer steps of the whole run.</summary>
    public long TotalSteps { get; }

    /// <summary>Runs the steps: take its events to train to the end, or from where the run was left.</summary>
    public Trainer Trainer { get; } = null!;

    /// <summary>The folder of checkpoints.</summary>
    public string CheckpointFolder => Path.Combine(Run.Output.Path, "checkpoints");

    private BatchOptions Batches => new()
    {
        Rows = Run.Training.BatchSize,
        Length = Run.Training.SequenceLength,
        Packing = Run.Data.Packing,
        PadToken = Model.Tokenizer?.PadId ?? Model.Tokenizer?.EosId ?? 0,
    };

    /// <summary>Loads everything that a run file names.</summary>
    /// <exception cref="GraftException">A file is missing or broken, or options do not fit together; says which and what is allowed.</exception>
    public static RunSession Open(RunFile run, RunSessionOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(run);
        return new RunSession(run, options ?? new RunSessionOptions(), cancellation);
    }

    /// <summary>Gives back everything but what was written.</summary>
    public void Dispose()
    {
        Trainer?.Dispose();
        Train?.Dispose();
        Evaluation?.Dispose();
        Model?.Dispose();
        _training.Dispose();
        if (_ownsDevice)
        {
            Device.Dispose();
        }
    }

    // Before the first step: a run of hours must not end at a folder that cannot be made.
    private void CreateOutput()
    {
        try
        {
            if (Device.Computes)
            {
                _ = Directory.CreateDirectory(Run.Output.Path);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"output.path is {Run.Output.Path}, which cannot be made: {e.Message}", e);
        }
    }

    private void CheckLength()
    {
        if (Run.Training.SequenceLength > Model.Model.MaxPositions)
        {
            throw new ConfigurationException($"training.sequence_length is {Run.Training.SequenceLength}; "
                + $"the model {Run.Model.Path} takes at most {Model.Model.MaxPositions} tokens.");
        }
    }

    private AttachedAdapter? Attach()
    {
        if (Run.Adapter is not { } section)
        {
            foreach (Parameter parameter in Model.Model.Parameters)
            {
                parameter.Trainable = true;
            }

            return null;
        }

        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Run.Model.Path));
        AdapterConfig config = RunAdapter.Config(section, name);
        AttachedAdapter adapter = Model.Attach(AdapterName, config, new Rng(Run.Training.Seed).Stream("adapter"));
        RunAdapter.CheckRanks(adapter, Model.Model);
        return adapter;
    }

    private TokenizedDataset OpenData(string file, RunSessionOptions options, CancellationToken cancellation)
    {
        TokenizedDataset data = TokenizedDataset.Open(file, Model.Encoder, Run.Data.Dataset with { Threads = Run.Training.Threads }, cancellation);
        TokenCounts counts = data.Counts;
        if (counts.Truncated + counts.TooLong + counts.WithoutLoss > 0)
        {
            options.Warning?.Invoke($"{file}: {counts.Truncated} samples were cut, {counts.TooLong} left out as too long "
                + $"and {counts.WithoutLoss} as without loss.");
        }

        return data;
    }

    private long StepsOf(long epochs)
    {
        long batches = 0;
        for (long epoch = 0; epoch < epochs; epoch++)
        {
            batches += Sampler.CountBatches(epoch);
        }

        long accumulation = Run.Training.GradientAccumulationSteps;
        return Math.Max(1, (batches + accumulation - 1) / accumulation);
    }

    private Trainer CreateTrainer(RunSessionOptions options)
    {
        TrainingSection training = Run.Training;
        bool isPlan = !Device.Computes;
        if (!isPlan && !options.Resume && Directory.Exists(CheckpointFolder))
        {
            Directory.Delete(CheckpointFolder, recursive: true);
        }

        TrainingPhase phase = new("training", CreateProgram, new SamplerSource(Sampler), TotalSteps);
        return new Trainer(Device, [phase], new TrainerOptions
        {
            Seed = training.Seed,
            LogEvery = training.LogEvery,
            Evaluator = isPlan || Evaluation is null ? null : Model.Evaluator(Evaluation, Batches, Run.Data.EvalSamples),
            EvaluateEvery = training.EvalEvery,
            EvaluateAtStart = true,
            EarlyStopping = new EarlyStoppingOptions { Patience = training.EarlyStoppingPatience, MinDelta = training.EarlyStoppingMinDelta },
            CheckpointFolder = isPlan ? null : CheckpointFolder,
            SaveEvery = training.SaveEvery,
            KeepCheckpoints = training.KeepCheckpoints,
            KeepBest = training.KeepBest && training.EvalEvery > 0,
            Resume = options.Resume,
            Profile = options.Profile,
        }, options.Logger);
    }

    private GradientStep CreateProgram()
    {
        ParameterSetOptions whole = new() { Layout = ValueLayout.InPlace, Groups = [ParameterGroup.WithoutDecay] };
        ParameterSet set = Adapter is null
            ? new ParameterSet(Model.Model.Parameters, _training, whole)
            : AdapterTraining.Parameters(Adapter, _training, OptimizerTable.RatioOf(Run.Optimizer));
        Optimizer optimizer = new(set, _rule, Run.Optimizer.LearningRate, _schedule);
        if (Adapter is not null)
        {
            AdapterTraining.Connect(optimizer, Model.Adapters, Adapter, TotalSteps);
        }

        return new GradientStep(new LanguageModelObjective(Model.Model, Model.Active), optimizer, new GradientStepOptions
        {
            AccumulationSteps = Run.Training.GradientAccumulationSteps,
            MaxGradientNorm = Run.Optimizer.MaxGradNorm,
            ActivationCheckpointing = Run.Training.ActivationCheckpointing,
            CudaGraph = Run.Training.CudaGraph,
            RequireGradients = Run.Training.RequireGradients,
        });
    }
}
