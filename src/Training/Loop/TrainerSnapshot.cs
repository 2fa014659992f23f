using Graft.Training.Checkpoints;

namespace Graft.Training;

/// <summary>A moment of a run in host memory: <see cref="Trainer.TakeSnapshot"/>.</summary>
public sealed class TrainerSnapshot
{
    internal TrainerSnapshot(StateSnapshot parts, string state, int phase, bool evaluationDue, bool saveDue, bool stopped, double? metric)
    {
        (Parts, State, Phase) = (parts, state, phase);
        (EvaluationDue, SaveDue, Stopped, Metric) = (evaluationDue, saveDue, stopped, metric);
    }

    /// <summary>Bytes of the tensors that are kept.</summary>
    public long Bytes => Parts.Bytes;

    internal StateSnapshot Parts { get; }

    internal string State { get; }

    internal int Phase { get; }

    internal bool EvaluationDue { get; }

    internal bool SaveDue { get; }

    internal bool Stopped { get; }

    internal double? Metric { get; }
}
