using System.Globalization;
using Graft.Runtime;
using Graft.Training.Checkpoints;
using Graft.Training.Data;
using Graft.Training.Optimizers;

namespace Graft.Training;

/// <summary>What becomes of a step whose gradient is not finite.</summary>
public enum NonFinitePolicy
{
    /// <summary>The run ends with a <see cref="TrainingException"/>; nothing was updated.</summary>
    Throw,

    /// <summary>The update is left out and a warning raised.</summary>
    Skip,
}

/// <summary>How a <see cref="GradientStep"/> goes.</summary>
public sealed record GradientStepOptions
{
    /// <summary>Micro-batches of one step.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>The global norm that gradients are scaled down to; 0 for none.</summary>
    public double MaxGradientNorm { get; init; } = 1;

    /// <summary>Which norm.</summary>
    public NormOrder NormOrder { get; init; }

    /// <summary>The largest element of a gradient; 0 for no limit.</summary>
    public double MaxGradientValue { get; init; }

    /// <summary>Run layers again in backward instead of keeping their activations.</summary>
    public bool ActivationCheckpointing { get; init; }

    /// <summary>Fail in the first step if a trained parameter receives no gradient.</summary>
    public bool RequireGradients { get; init; } = true;

    /// <summary>What becomes of a step whose gradient is not finite.</summary>
    public NonFinitePolicy NonFinite { get; init; }

    /// <summary>On a CUDA device, record forward and backward of a micro-batch as a graph and launch it as one; for objectives of one term without dropout.</summary>
    public bool CudaGraph { get; init; }
}

/// <summary>The usual step: micro-batches of (forward, weighted terms, backward), then clip, then update.</summary>
/// <remarks>
/// Losses are sums. They are divided once, in backward's seed, by the count over all micro-batches of the step: so accumulation and packing cannot change the
/// gradient beyond rounding.
/// </remarks>
public sealed class GradientStep : IStepProgram
{
    /// <summary>The name under which a profile holds a micro-batch that is run by a recorded graph: forward and backward as one span.</summary>
    public const string GraphSpan = "cuda_graph";

    private readonly IObjective _objective;
    private readonly Optimizer _optimizer;
    private readonly GradientStepOptions _options;
    private readonly SortedDictionary<string, TermValue> _terms = new(StringComparer.Ordinal);
    private readonly List<Batch> _batches = [];
    private readonly List<(LossTerm Term, double Count)> _sums = [];
    private StepRecorder? _recorder;

    /// <summary>A step of an optimizer down an objective.</summary>
    public GradientStep(IObjective objective, Optimizer optimizer, GradientStepOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(objective);
        ArgumentNullException.ThrowIfNull(optimizer);
        _objective = objective;
        _optimizer = optimizer;
        _options = options ?? new GradientStepOptions();
        if (_options.AccumulationSteps < 1 || !(_options.MaxGradientNorm >= 0) || !(_options.MaxGradientValue >= 0))
        {
            throw new ConfigurationException(
                $"{_options.AccumulationSteps} micro-batches, gradient norm {_options.MaxGradientNorm}, gradient value {_options.MaxGradientValue}: needed " +
                "are at least one micro-batch and limits of 0 or more.");
        }
    }

    /// <summary>The optimizer.</summary>
    public Optimizer Optimizer => _optimizer;

    /// <inheritdoc/>
    public IReadOnlyList<ParameterSet> Sets => [_optimizer.Parameters];

    /// <inheritdoc/>
    public int BatchesPerStep => _options.AccumulationSteps;

    /// <summary>How many micro-batches were one launch of a recorded graph.</summary>
    internal long Replays => _recorder?.Replays ?? 0;

    /// <inheritdoc/>
    public StepResult Run(StepContext c)
    {
        ArgumentNullException.ThrowIfNull(c);
        ParameterSet set = _optimizer.Parameters;
        long targets, tokens, samples;
        using (ProfileSpan.Open(c.Profile, "data"))
        {
            Take(c, out targets, out tokens, out samples);
        }

        double rate = _optimizer.LearningRate;
        set.ClearGradients();
        _terms.Clear();
        if (targets == 0)
        {
            return new StepResult(0, [], rate, 0, 0, tokens, "no token of this step carries loss: the step was left out. Look at the loss mask of the data.");
        }

        using Tape tape = new(c.Arena) { Profile = c.Profile };
        for (int i = 0; i < _batches.Count; i++)
        {
            c.Cancellation.ThrowIfCancellationRequested();
            if (_batches[i].TargetCount > 0)
            {
                MicroBatch(c, tape, i, targets, samples);
            }
        }

        if (c.IsFirst && _options.RequireGradients && set.WithoutGradient() is { Count: > 0 } without)
        {
            throw new AutogradException(
                $"{without.Count} of {set.Active.Count} trained parameters received no gradient in the first step: " +
                $"{string.Join(", ", without.Take(20))}{(without.Count > 20 ? ", ..." : "")}. " +
                "Freeze them, or switch the check off if that is meant to be so.");
        }

        return Finish(c, set, rate, targets, tokens);
    }

    /// <inheritdoc/>
    public void Save(StateWriter state) => _optimizer.Save(state);

    /// <inheritdoc/>
    public void Load(StateReader state) => _optimizer.Load(state);

    /// <summary>Gives back gradients and optimizer state.</summary>
    public void Dispose()
    {
        _recorder?.Dispose();
        _optimizer.Parameters.Dispose();
    }

    private void Take(StepContext c, out long targets, out long tokens, out long samples)
    {
        (targets, tokens, samples) = (0, 0, 0);
        _batches.Clear();
        for (int i = 0; i < _options.AccumulationSteps; i++)
        {
            Batch batch = c.Data.Next();
            _batches.Add(batch);
            targets += batch.TargetCount;
            tokens += batch.TokenCount;
            samples += batch.Segments.Count;
        }
    }

    private void MicroBatch(StepContext c, Tape tape, int index, long targets, long samples)
    {
        Batch batch = _batches[index];
        Rng random = c.Random.Stream(string.Create(CultureInfo.InvariantCulture, $"micro{index}"));
        double CountOf(LossUnit unit) => unit switch
        {
            LossUnit.Tokens => targets,
            LossUnit.Samples => Math.Max(1, samples),
            _ => _batches.Count(b => b.TargetCount > 0),
        };
        if (_options.CudaGraph && c.Arena.Device is CudaDevice device)
        {
            _recorder ??= new StepRecorder(device, _objective, _optimizer.Parameters, _options.ActivationCheckpointing);
            using ProfileSpan span = ProfileSpan.Open(c.Profile, GraphSpan);
            if (_recorder.Run(c, batch, random, CountOf) is var (term, sum))
            {
                AddTerm(term, sum / CountOf(term.Unit));
                return;
            }
        }

        using Scope scope = c.Arena.Enter("micro-batch");
        try
        {
            IReadOnlyList<LossTerm> terms = _objective.Forward(new ObjectiveCall
            {
                Tape = tape,
                Batch = batch,
                Random = random,
                IsTraining = true,
                ActivationCheckpointing = _options.ActivationCheckpointing,
            });
            Tensor? total = null;
            _sums.Clear();
            foreach (LossTerm term in terms)
            {
                double count = CountOf(term.Unit);
                _sums.Add((term, count));
                _ = Tape.Pin(term.Sum);
                if (tape.RequiresGradient(term.Sum))
                {
                    Tensor scaled = tape.Scale(term.Sum, (float)(term.Weight / count));
                    total = total is null ? scaled : tape.Add(total, scaled);
                }
            }

            tape.Backward(total ?? throw new AutogradException("No term of the objective depends on a trained parameter: is anything trainable, and is the " +
                "adapter active?"));

            // Only now, because reading waits for the device: it has forward and backward to do meanwhile.
            foreach ((LossTerm term, double count) in _sums)
            {
                AddTerm(term, term.Sum.ReadScalar() / count);
            }
        }
        finally
        {
            tape.Clear();
        }
    }

    private void AddTerm(LossTerm term, double value)
    {
        TermValue sum = _terms.GetValueOrDefault(term.Name, new TermValue(term.Name, 0, term.Weight));
        _terms[term.Name] = sum with { Value = sum.Value + value };
    }

    private StepResult Finish(StepContext c, ParameterSet set, double rate, long targets, long tokens)
    {
        double loss = 0;
        foreach (TermValue term in _terms.Values)
        {
            loss += term.Weight * term.Value;
        }

        double norm = Norm(c, set);
        string? warning = null;
        if (double.IsFinite(norm))
        {
            using ProfileSpan span = ProfileSpan.Open(c.Profile, "update");
            span.Moves(new OpCost(c.Profile is null ? 0 : _optimizer.UpdateBytes()));
            _optimizer.Update(_options.MaxGradientNorm > 0 ? GradientClipping.Coefficient(_options.MaxGradientNorm, norm) : 1);
        }
        else
        {
            string text = $"the gradient is not finite (loss {loss}, norm {norm}) in optimizer step {_optimizer.Step + 1}: lower the learning rate or look " +
                "at the data of this step.";
            warning = _options.NonFinite == NonFinitePolicy.Skip ? text : throw new TrainingException(text);
        }

        set.ClearGradients();
        return new StepResult(loss, [.. _terms.Values], rate, norm, targets, tokens, warning);
    }

    private double Norm(StepContext c, ParameterSet set)
    {
        using ProfileSpan span = ProfileSpan.Open(c.Profile, "clip");
        if (_options.MaxGradientValue > 0)
        {
            GradientClipping.ByValue(_options.MaxGradientValue, set);
        }

        double norm = GradientClipping.GlobalNorm(_options.NormOrder, set);
        if (c.Profile is not null)
        {
            long bytes = set.Active.Where(e => e.Parameter.HasGradient).Sum(e => e.Parameter.Gradient!.Spec.Bytes);
            span.Moves(new OpCost(bytes));
        }

        return norm;
    }
}

/// <summary>A run that cannot go on: its numbers left the range of floats. Nothing was updated by the failing step.</summary>
public sealed class TrainingException(string message) : GraftException(message);
