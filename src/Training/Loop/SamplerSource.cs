using Graft.Training.Checkpoints;
using Graft.Training.Data;

namespace Graft.Training;

/// <summary>Batches of a <see cref="BatchSampler"/>.</summary>
/// <param name="sampler">Makes the batches.</param>
/// <param name="samplesPerEpoch">Samples of an epoch, for the fraction of it.</param>
public sealed class SamplerSource(BatchSampler sampler, long samplesPerEpoch) : IBatchSource
{
    /// <inheritdoc/>
    public DataPosition Position
    {
        get => sampler.Position;
        set => sampler.Position = value;
    }

    /// <inheritdoc/>
    public Batch Next() => sampler.Next();

    /// <inheritdoc/>
    public double EpochAt(DataPosition position)
    {
        ArgumentNullException.ThrowIfNull(position);
        return position.Epoch + (samplesPerEpoch > 0 ? (double)position.Index / samplesPerEpoch : 0);
    }

    /// <inheritdoc/>
    public void Save(StateWriter state)
    {
        ArgumentNullException.ThrowIfNull(state);
        state.Put("epoch", sampler.Position.Epoch);
        state.Put("index", sampler.Position.Index);
        state.Put("row", sampler.Position.Row);
        state.Put("samples", samplesPerEpoch);
    }

    /// <inheritdoc/>
    public void Load(StateReader state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.Int64("samples") != samplesPerEpoch)
        {
            throw new Runtime.CheckpointException(
                $"section '{state.Section}': the checkpoint was made with {state.Int64("samples")} samples an epoch, this run has {samplesPerEpoch}: resume with the same data.");
        }

        sampler.Position = new DataPosition(state.Int64("epoch"), state.Int64("index"), (int)state.Int64("row"));
    }
}
