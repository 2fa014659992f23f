using Graft.Training.Checkpoints;
using Graft.Training.Data;

namespace Graft.Training;

/// <summary>Batches of a <see cref="BatchSampler"/>.</summary>
public sealed class SamplerSource : IBatchSource
{
    private readonly BatchSampler _sampler;

    /// <summary>A source from where the sampler stands.</summary>
    public SamplerSource(BatchSampler sampler)
    {
        ArgumentNullException.ThrowIfNull(sampler);
        _sampler = sampler;
    }

    /// <summary>What batches are made of.</summary>
    public ITokenSamples Samples => _sampler.Samples;

    /// <inheritdoc/>
    public DataPosition Position
    {
        get => _sampler.Position;
        set => _sampler.Position = value;
    }

    /// <inheritdoc/>
    public Batch Next() => _sampler.Next();

    /// <inheritdoc/>
    public double EpochAt(DataPosition position)
    {
        ArgumentNullException.ThrowIfNull(position);
        return position.Epoch + ((double)position.Index / _sampler.SamplesPerEpoch);
    }

    /// <inheritdoc/>
    public void Save(StateWriter state)
    {
        ArgumentNullException.ThrowIfNull(state);
        state.Put("epoch", _sampler.Position.Epoch);
        state.Put("index", _sampler.Position.Index);
        state.Put("row", _sampler.Position.Row);
        state.Put("samples", _sampler.SamplesPerEpoch);
    }

    /// <inheritdoc/>
    public void Load(StateReader state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.Int64("samples") != _sampler.SamplesPerEpoch)
        {
            throw new Runtime.CheckpointException(
                $"section '{state.Section}': the checkpoint was made with {state.Int64("samples")} samples an epoch, this run has " +
                $"{_sampler.SamplesPerEpoch}: resume with the same data.");
        }

        _sampler.Position = new DataPosition(state.Int64("epoch"), state.Int64("index"), (int)state.Int64("row"));
    }
}
