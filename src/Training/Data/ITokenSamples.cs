namespace Graft.Training.Data;

/// <summary>Samples as token sequences, by index.</summary>
public interface ITokenSamples
{
    /// <summary>How many there are.</summary>
    long Count { get; }

    /// <summary>The tokens of the longest sample; 0 without any.</summary>
    int LongestSample { get; }

    /// <summary>The tokens of a sample.</summary>
    int LengthOf(long index);

    /// <summary>The token ids of a sample.</summary>
    ReadOnlySpan<int> Ids(long index);

    /// <summary>1 for every token of a sample that carries loss when it is predicted, else 0.</summary>
    ReadOnlySpan<byte> LossMask(long index);

    /// <summary>The stable id of a sample: the same in every run, on every machine and wherever its line stands in the file.</summary>
    ulong SampleId(long index);
}

/// <summary>Questions that any token samples can answer.</summary>
public static class TokenSamplesExtensions
{
    /// <summary>How many samples have a <paramref name="token"/> that carries loss. 0 for the end-of-sequence token: the model cannot learn to stop.</summary>
    public static long CountWithLossOn(this ITokenSamples samples, int token)
    {
        ArgumentNullException.ThrowIfNull(samples);
        long found = 0;
        for (long i = 0; i < samples.Count; i++)
        {
            ReadOnlySpan<int> ids = samples.Ids(i);
            ReadOnlySpan<byte> mask = samples.LossMask(i);
            for (int t = 1; t < ids.Length; t++)
            {
                if (ids[t] == token && mask[t] != 0)
                {
                    found++;
                    break;
                }
            }
        }

        return found;
    }
}

/// <summary>Token samples held in memory, for callers that make their own.</summary>
public sealed class TokenSampleList : ITokenSamples
{
    private readonly List<(ulong Id, int[] Ids, byte[] Mask)> _samples = [];

    /// <inheritdoc/>
    public long Count => _samples.Count;

    /// <inheritdoc/>
    public int LongestSample { get; private set; }

    /// <summary>Adds a sample; the mask is 1 where a token carries loss and as long as the ids.</summary>
    /// <exception cref="ArgumentException">The lengths differ or the sample is empty.</exception>
    public void Add(ulong sampleId, ReadOnlySpan<int> ids, ReadOnlySpan<byte> lossMask)
    {
        if (ids.IsEmpty || ids.Length != lossMask.Length)
        {
            throw new ArgumentException(
                $"A sample needs at least one token and a mask of the same length; given are {ids.Length} tokens and {lossMask.Length} mask entries.",
                nameof(lossMask));
        }

        _samples.Add((sampleId, ids.ToArray(), lossMask.ToArray()));
        LongestSample = Math.Max(LongestSample, ids.Length);
    }

    /// <inheritdoc/>
    public int LengthOf(long index) => _samples[checked((int)index)].Ids.Length;

    /// <inheritdoc/>
    public ReadOnlySpan<int> Ids(long index) => _samples[checked((int)index)].Ids;

    /// <inheritdoc/>
    public ReadOnlySpan<byte> LossMask(long index) => _samples[checked((int)index)].Mask;

    /// <inheritdoc/>
    public ulong SampleId(long index) => _samples[checked((int)index)].Id;
}
