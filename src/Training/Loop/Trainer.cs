using System.Diagnostics;
using System.Runtime.CompilerServices;
using Graft.Runtime;
using Graft.Training.Checkpoints;
using Graft.Training.Data;
using Graft.Training.Optimizers;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Graft.Training;

/// <summary>Runs phases of training inside a host: events come out, a token stops it, errors are exceptions, and nothing else of the process is
/// touched.</summary>
/// <remarks>
/// Work is done on the thread pool while the caller waits for the next event; a caller that stops asking pauses the run, and calling <see cref="RunAsync"/>
/// again goes on.
/// After cancellation or an error the parameters are those of the last whole step, and the data stands where that step ended. Resuming from a checkpoint gives
/// the same bits as never having stopped.
/// </remarks>
public sealed partial class Trainer : IDisposable
{
    private readonly IReadOnlyList<TrainingPhase> _phases;
    private readonly TrainerOptions _options;
    private readonly ILogger _logger;
    private readonly EarlyStopping _stopping;
    private readonly StepProfiler? _profiler;
    private readonly HashSet<Parameter> _earlier = [];
    private readonly Queue<TrainingEvent> _events = new();
    private IStepProgram? _program;
    private bool _begun;
    private bool _isFirst;
    private bool _evaluationDue;
    private bool _saveDue;
    private bool _stopped;
    private bool _finished;
    private int _running;

    /// <summary>A run that has not begun.</summary>
    /// <param name="device">Where steps run; its other arenas hold the model.</param>
    /// <param name="phases">What to do, in order.</param>
    /// <param name="options">How.</param>
    /// <param name="logger">Takes the course of the run in words.</param>
    /// <exception cref="ConfigurationException">There is no phase, or a number is out of range.</exception>
    public Trainer(Device device, IReadOnlyList<TrainingPhase> phases, TrainerOptions? options = null, ILogger? logger = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(phases);
        _options = options ?? new TrainerOptions();
        if (phases.Count == 0 || phases.Any(p => p.Steps < 1)
            || _options.LogEvery < 1 || _options.EvaluateEvery < 0 || _options.SaveEvery < 0 || _options.KeepCheckpoints < 1
            || _options.Profile is { Skip: < 0 } or { Steps: < 1 })
        {
            throw new ConfigurationException("A run needs at least one phase, each with at least one step, log_every and keep_checkpoints of at least 1, " +
                "eval_every and save_every of 0 or more, and a profile of at least one step after 0 or more.");
        }

        _phases = phases;
        _logger = logger ?? NullLogger.Instance;
        _stopping = new EarlyStopping(_options.EarlyStopping);
        _profiler = _options.Profile is { } profile ? new StepProfiler(device, profile) : null;
        Device = device;
        StepArena = new Arena(device, "step");
        State = new TrainerState { MaxSteps = phases.Sum(p => p.Steps), Seed = _options.Seed };
        Store = _options.CheckpointFolder is { } folder ? new CheckpointStore(folder, _options.KeepCheckpoints) : null;
    }

    /// <summary>Where steps run.</summary>
    public Device Device { get; }

    /// <summary>Takes activations.</summary>
    public Arena StepArena { get; }

    /// <summary>Where the run stands, and its history.</summary>
    public TrainerState State { get; private set; }

    /// <summary>The checkpoints; null without a folder.</summary>
    public CheckpointStore? Store { get; }

    /// <summary>More state that belongs into checkpoints, by name: scalars per example, controllers. Add it before the run begins.</summary>
    public IDictionary<string, IStateful> Stateful { get; } = new SortedDictionary<string, IStateful>(StringComparer.Ordinal);

    /// <summary>The program of the phase that runs; null before the run has begun.</summary>
    public IStepProgram? Program => _program;

    /// <summary>The spans of the steps that were profiled, for <see cref="ChromeTrace"/>; null where none was yet.</summary>
    public OpProfile? Profile => _profiler?.Profile;

    /// <summary>Runs to the end, or from where it was left.</summary>
    /// <param name="cancellation">Asked before every micro-batch and every batch of an evaluation.</param>
    /// <exception cref="OperationCanceledException">The token was cancelled; the run can go on later.</exception>
    /// <exception cref="GraftException">Data, device or numbers forbid to go on; the run can be asked to go on, or disposed.</exception>
    public async IAsyncEnumerable<TrainingEvent> RunAsync([EnumeratorCancellation] CancellationToken cancellation = default)
    {
        if (Interlocked.Exchange(ref _running, 1) != 0)
        {
            throw new InvalidOperationException("The run is going on already: take its events from one enumeration at a time.");
        }

        try
        {
            while (!_finished)
            {
                await Task.Run(() => Advance(cancellation), CancellationToken.None).ConfigureAwait(false);
                while (_events.TryDequeue(out TrainingEvent? next))
                {
                    yield return next;
                }
            }
        }
        finally
        {
            Volatile.Write(ref _running, 0);
        }
    }

    /// <summary>Gives back activations and what training alone needed; values stay where they are.</summary>
    public void Dispose()
    {
        _program?.Dispose();
        _program = null;
        _finished = true;
        StepArena.Dispose();
    }

    /// <summary>Bytes that the device's other arenas hold, by category.</summary>
    public MemoryUse PersistentMemory()
    {
        MemoryUse use = default;
        foreach (Arena arena in Device.Arenas)
        {
            if (arena != StepArena)
            {
                use += arena.Report().Current;
            }
        }

        return use;
    }

    /// <summary>Does the next piece of the run: begin, evaluate, save, step or finish. What is interrupted is still due afterwards.</summary>
    private void Advance(CancellationToken cancellation)
    {
        if (!_begun)
        {
            Begin();
        }
        else if (_evaluationDue)
        {
            Evaluate(cancellation);
        }
        else if (_saveDue)
        {
            SaveCheckpoint();
        }
        else if (_stopped || (State.Phase == _phases.Count - 1 && State.PhaseDone))
        {
            Finish();
        }
        else
        {
            Step(cancellation);
        }
    }

    private void Begin()
    {
        foreach (SamplerSource source in _phases.Select(p => p.Data).OfType<SamplerSource>().Where(_ => _options.StopTokens.Count > 0))
        {
            TrainingChecks.RequireStopToken(source.Samples, [.. _options.StopTokens]);
        }

        Store?.RemoveLeftovers();
        string? from;
        try
        {
            from = _options.Resume ? LoadLatest() : null;
            if (_program is null)
            {
                Enter();
            }
        }
        catch
        {
            // Half a state is none: the next attempt starts from the beginning again.
            _program?.Dispose();
            _program = null;
            State = new TrainerState { MaxSteps = State.MaxSteps, Seed = _options.Seed };
            throw;
        }

        _begun = true;
        _evaluationDue = from is null && _options.EvaluateAtStart && _options.Evaluator is not null;
        Tell(new TrainingStarted(State.GlobalStep, State.MaxSteps, _program!.Sets.Sum(s => s.TrainedElements), _program.Sets.Sum(s => s.AllElements), from));
    }

    private void Enter()
    {
        TrainingPhase phase = _phases[State.Phase];
        _program = phase.Create();
        _isFirst = true;
        Tell(new PhaseStarted(State.GlobalStep, phase.Name, State.Phase));
    }

    private void NextPhase()
    {
        foreach (ParameterEntry entry in _program!.Sets.SelectMany(s => s.All).Where(e => e.Changed))
        {
            _ = _earlier.Add(entry.Parameter);
        }

        _program.Dispose();
        _program = null;
        State.Phase++;
        State.PhaseStep = 0;
        State.PhaseDone = false;
        Enter();
    }

    private void Step(CancellationToken cancellation)
    {
        if (State.PhaseDone)
        {
            NextPhase();
        }

        cancellation.ThrowIfCancellationRequested();
        TrainingPhase phase = _phases[State.Phase];
        DataPosition before = phase.Data.Position;
        long started = _options.Time.GetTimestamp();
        StepArena.ResetPeak();
        StepResult result;
        OpProfile? profile = _profiler?.Next(State.MaxSteps - State.GlobalStep);
        try
        {
            using ProfileSpan whole = StepProfiler.Around(profile);
            using Activity? activity = TrainingMeters.Activities.StartActivity("graft.training.step");
            result = _program!.Run(new StepContext
            {
                Arena = StepArena,
                Data = phase.Data,
                Step = State.PhaseStep,
                Random = new Rng(_options.Seed).Stream("step").At(State.GlobalStep),
                IsFirst = _isFirst,
                Profile = profile,
                Cancellation = cancellation,
            });
        }
        catch
        {
            _ = profile?.TakeFamilies();
            phase.Data.Position = before;
            foreach (ParameterSet set in _program!.Sets)
            {
                set.ClearGradients();
            }

            throw;
        }

        _isFirst = false;
        State.GlobalStep++;
        State.PhaseStep++;
        State.PhaseDone = State.PhaseStep >= phase.Steps || (phase.Exit?.Invoke(result) ?? false);
        State.Epoch = phase.Data.EpochAt(phase.Data.Position);
        State.TokensSeen += result.Tokens;
        MemoryUse peak = StepArena.Report().Peak;
        Completed(new StepCompleted(State.GlobalStep, State.Epoch, result, _options.Time.GetElapsedTime(started).TotalSeconds, PersistentMemory(), peak));
        if (_profiler?.Completed(State.GlobalStep, profile) is { } profiled)
        {
            Tell(profiled);
        }
    }

    private void Completed(StepCompleted step)
    {
        StepResult result = step.Result;
        _metric = null;
        State.WindowLoss += result.Loss;
        State.WindowSteps++;
        bool last = State.PhaseDone && State.Phase == _phases.Count - 1;
        if (State.GlobalStep % _options.LogEvery == 0 || last)
        {
            State.Log(("loss", State.WindowLoss / State.WindowSteps), ("grad_norm", result.GradientNorm), ("learning_rate", result.LearningRate));
            State.WindowLoss = 0;
            State.WindowSteps = 0;
        }

        _evaluationDue = _options.Evaluator is not null && (last || (_options.EvaluateEvery > 0 && State.GlobalStep % _options.EvaluateEvery == 0));
        _saveDue = Store is not null && (last || (_options.SaveEvery > 0 && State.GlobalStep % _options.SaveEvery == 0));
        Tell(step);
        if (result.Warning is { } warning)
        {
            Tell(new TrainingWarning(State.GlobalStep, warning));
        }
    }

    private void Evaluate(CancellationToken cancellation)
    {
        EvaluationResult result;
        using (Activity? activity = TrainingMeters.Activities.StartActivity("graft.training.evaluation"))
        {
            result = _options.Evaluator!.Run(StepArena, cancellation);
        }

        _evaluationDue = false;
        bool best = !double.IsNaN(result.Loss) && (State.BestMetric is not { } metric || result.Loss < metric);
        if (best)
        {
            State.BestMetric = result.Loss;
            State.BestStep = State.GlobalStep;
        }

        _metric = result.Loss;
        _stopping.Report(result.Loss);
        (State.StoppingReference, State.StoppingCount) = (_stopping.Reference, _stopping.BadCount);
        State.Log(
            ("eval_loss", result.Loss),
            ("eval_token_accuracy", result.TokenAccuracy),
            ("eval_exact_match", result.ExactMatch),
            ("eval_perplexity", result.Perplexity));
        _stopped = _stopping.ShouldStop;
        _saveDue |= Store is not null && ((best && _options.KeepBest) || _stopped);
        Tell(new EvaluationCompleted(State.GlobalStep, result, best));
    }

    private void Finish()
    {
        if (_options.KeepBest && Store?.BestPath is { } best && State.BestStep is { } step && step != State.GlobalStep)
        {
            LoadValues(best);
        }

        _finished = true;
        Tell(new TrainingFinished(State.GlobalStep, _stopped ? FinishReason.EarlyStopped : FinishReason.Completed, State.BestMetric, State.BestStep));
    }

    private void Tell(TrainingEvent e)
    {
        switch (e)
        {
            case StepCompleted step:
                TrainingMeters.Record(step);
                TrainerLog.Step(_logger, step.Step, step.Result.Loss, step.Result.LearningRate, step.Result.GradientNorm, step.TokensPerSecond);
                break;
            case EvaluationCompleted evaluation:
                TrainingMeters.Record(evaluation.Result);
                TrainerLog.Evaluation(_logger, evaluation.Step, evaluation.Result.Loss, evaluation.Result.TokenAccuracy);
                break;
            case TrainingWarning warning:
                TrainerLog.Warning(_logger, warning.Step, warning.Message);
                break;
            case CheckpointSaved saved:
                TrainerLog.Saved(_logger, saved.Step, saved.Path);
                break;
            case TrainingStarted started:
                TrainerLog.Started(_logger, started.TotalSteps, started.Step, started.TrainedElements, started.AllElements);
                break;
            case TrainingFinished finished:
                TrainerLog.Finished(_logger, finished.Step, finished.Reason);
                break;
        }

        _events.Enqueue(e);
        _options.Progress?.Report(e);
    }
}
