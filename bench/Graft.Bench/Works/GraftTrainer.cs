using System.Diagnostics;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Layers;
using Graft.Runtime;
using Graft.Training;
using Graft.Training.Optimizers;

namespace Graft.Bench.Works;

/// <summary>Our side of a training work: forward, the fused head's loss, backward, AdamW.</summary>
internal sealed class GraftTrainer : ITrainer
{
    private readonly PretrainedModel _pretrained;
    private readonly TokenBatch _batch;
    private readonly ActiveAdapters _adapters;
    private readonly Action? _end;
    private readonly Arena _training;
    private readonly Arena _step;
    private readonly ParameterSet _parameters;
    private readonly Optimizer _optimizer;

    /// <summary>A trainer of what is trainable among the parameters.</summary>
    /// <param name="pretrained">The model; ends with this object.</param>
    /// <param name="parameters">What may be trained.</param>
    /// <param name="adapters">The adapters that act.</param>
    /// <param name="batch">The one batch.</param>
    /// <param name="learningRate">Of AdamW with weight decay 0.01.</param>
    /// <param name="end">What else ends with this object, before the model.</param>
    public GraftTrainer(
        PretrainedModel pretrained, IEnumerable<Parameter> parameters, ActiveAdapters adapters, TokenBatch batch, double learningRate, Action? end = null)
    {
        _pretrained = pretrained;
        _batch = batch;
        _adapters = adapters;
        _end = end;
        Device device = pretrained.Weights.Device;
        _training = new Arena(device, "training");
        _step = new Arena(device, "step");
        _parameters = new ParameterSet(parameters, _training, new ParameterSetOptions { Layout = ValueLayout.InPlace });
        _optimizer = new Optimizer(_parameters, new AdamW(), learningRate);
    }

    /// <inheritdoc/>
    public Phases Last { get; private set; }

    /// <summary>Layers are run again in backward instead of being kept.</summary>
    public bool ActivationCheckpointing { get; init; }

    /// <summary>Floating-point operations of a step.</summary>
    public double Flops => FlopsEstimate.OfStep(Model, _batch.Tokens, _batch.Length, ActivationCheckpointing);

    /// <summary>The model.</summary>
    public ILanguageModel Model => _pretrained.Model;

    /// <summary>What is trained.</summary>
    public IEnumerable<Parameter> Trained => _parameters.Active.Select(e => e.Parameter);

    /// <inheritdoc/>
    public double Step()
    {
        long start = Stopwatch.GetTimestamp();
        using Scope scope = _step.Enter("step");
        using Tape tape = new(_step);
        Shape shape = new(_batch.Rows, _batch.Length);
        ForwardContext context = new(tape, new TokenLayout(_batch.Rows, _batch.Length))
        {
            Phase = ForwardPhase.Train,
            Adapters = _adapters,
            ActivationCheckpointing = ActivationCheckpointing,
            Random = new Rng(5),
        };
        Tensor hidden = Model.Hidden(context, _step.Create<int>(shape, _batch.Ids, MemoryCategory.Activations));
        Tensor head = Model.Head.Weight.Parameter!.Value;
        Tensor logProb = tape.SelectedLogProb(hidden, head, _step.Create<int>(shape, _batch.Targets, MemoryCategory.Activations));
        Tensor mean = tape.Mean(logProb);
        long forward = Stopwatch.GetTimestamp();
        tape.Backward(mean, -1);
        long backward = Stopwatch.GetTimestamp();
        _optimizer.Update();
        _parameters.ClearGradients();
        long end = Stopwatch.GetTimestamp();
        Last = new Phases(
            Stopwatch.GetElapsedTime(start, forward).TotalSeconds,
            Stopwatch.GetElapsedTime(forward, backward).TotalSeconds,
            Stopwatch.GetElapsedTime(backward, end).TotalSeconds);
        return -mean.ReadScalar();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _step.Dispose();
        _parameters.Dispose();
        _training.Dispose();
        _end?.Invoke();
        _pretrained.Dispose();
    }
}
