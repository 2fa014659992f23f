namespace Graft.Training.Checkpoints;

/// <summary>Something whose state belongs into the checkpoint of a run: parameters, optimizer, data position, controllers, scalars per example.</summary>
public interface IStateful
{
    /// <summary>Writes everything that what comes next depends on.</summary>
    void Save(StateWriter state);

    /// <summary>Takes it back; afterwards everything goes on as if there had been no interruption.</summary>
    /// <exception cref="Runtime.CheckpointException">A value is missing or does not fit; names file and field.</exception>
    void Load(StateReader state);
}
