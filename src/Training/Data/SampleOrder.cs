using Graft.Runtime;

namespace Graft.Training.Data;

/// <summary>Which sample comes when: a pure function of epoch and place, so that any position can be returned to. Implement it for a curriculum or a
/// score-driven sampler.</summary>
public interface ISampleOrder
{
    /// <summary>Samples of an epoch.</summary>
    long Count { get; }

    /// <summary>The indices of the samples at places <paramref name="start"/> and on of an epoch.</summary>
    void Fill(long epoch, long start, Span<long> samples);
}

/// <summary>The orders that need no model.</summary>
public static class SampleOrder
{
    /// <summary>Every sample once, as in the file.</summary>
    public static ISampleOrder Sequential(long count) => new Listed(count, null, null);

    /// <summary>Every sample once an epoch, in an order drawn anew for each epoch from the stream.</summary>
    /// <exception cref="ConfigurationException">There are more samples than a permutation holds, 2^31 - 1.</exception>
    public static ISampleOrder Shuffled(long count, Rng rng) => new Listed(count, null, rng);

    /// <summary>The listed samples (an index may occur more than once), in the order of the list or shuffled anew each epoch.</summary>
    public static ISampleOrder List(IReadOnlyList<long> samples, Rng? rng = null)
    {
        ArgumentNullException.ThrowIfNull(samples);
        return new Listed(samples.Count, samples, rng);
    }

    /// <summary>The samples with the listed ids.</summary>
    /// <exception cref="ConfigurationException">An id is not in the data set.</exception>
    public static ISampleOrder Ids(ITokenSamples samples, IReadOnlyList<ulong> ids, Rng? rng = null)
    {
        ArgumentNullException.ThrowIfNull(samples);
        ArgumentNullException.ThrowIfNull(ids);
        Dictionary<ulong, long> places = [];
        for (long i = 0; i < samples.Count; i++)
        {
            places[samples.SampleId(i)] = i;
        }

        return List([.. ids.Select(PlaceOf)], rng);

        long PlaceOf(ulong id)
        {
            return places.TryGetValue(id, out long at) ? at : throw new ConfigurationException($"There is no sample with id {id:x16} in the data set.");
        }
    }

    /// <summary>Draws with replacement: sample i with probability weight i / sum of the weights.</summary>
    /// <param name="weights">One weight per sample, not negative, not all zero.</param>
    /// <param name="rng">The stream that is drawn from.</param>
    /// <param name="draws">Draws of an epoch; 0 for as many as there are weights.</param>
    /// <exception cref="ConfigurationException">A weight is negative or not finite, or all are zero.</exception>
    public static ISampleOrder Weighted(IReadOnlyList<double> weights, Rng rng, long draws = 0) => new Drawn(weights, rng, draws);

    private sealed class Listed : ISampleOrder
    {
        private readonly IReadOnlyList<long>? _list;
        private readonly Rng? _rng;
        private int[] _permutation = [];
        private long _epoch = -1;

        public Listed(long count, IReadOnlyList<long>? list, Rng? rng)
        {
            if (rng is not null && count > Array.MaxLength)
            {
                throw new ConfigurationException($"{count} samples are too many to shuffle; split the file or use weights.");
            }

            Count = count;
            _list = list;
            _rng = rng;
        }

        public long Count { get; }

        public void Fill(long epoch, long start, Span<long> samples)
        {
            if (_rng is { } rng && epoch != _epoch)
            {
                _permutation = rng.At(epoch).Permutation((int)Count);
                _epoch = epoch;
            }

            for (int i = 0; i < samples.Length; i++)
            {
                long at = _rng is null ? start + i : _permutation[start + i];
                samples[i] = _list is null ? at : _list[(int)at];
            }
        }
    }

    private sealed class Drawn : ISampleOrder
    {
        private readonly double[] _cumulative;
        private readonly Rng _rng;

        public Drawn(IReadOnlyList<double> weights, Rng rng, long draws)
        {
            ArgumentNullException.ThrowIfNull(weights);
            _rng = rng;
            _cumulative = new double[weights.Count];
            double sum = 0;
            for (int i = 0; i < _cumulative.Length; i++)
            {
                double weight = weights[i];
                if (!double.IsFinite(weight) || weight < 0)
                {
                    throw new ConfigurationException($"The weight of sample {i} is {weight}: weights must be finite and not negative.");
                }

                _cumulative[i] = sum += weight;
            }

            if (!(sum > 0) || !double.IsFinite(sum))
            {
                throw new ConfigurationException($"The {_cumulative.Length} weights add up to {sum}: at least one must be positive and the sum finite.");
            }

            Count = draws > 0 ? draws : _cumulative.Length;
        }

        public long Count { get; }

        public void Fill(long epoch, long start, Span<long> samples)
        {
            Rng rng = _rng.At(epoch);
            for (int i = 0; i < samples.Length; i++)
            {
                double uniform = (rng.Bits64(start + i) >> 11) * (1.0 / (1L << 53));
                samples[i] = Above(uniform * _cumulative[^1]);
            }
        }

        /// <summary>The first sample whose cumulative weight is above a value; one of weight 0 never is.</summary>
        private int Above(double value)
        {
            (int low, int high) = (0, _cumulative.Length - 1);
            while (low < high)
            {
                int middle = (low + high) >>> 1;
                (low, high) = _cumulative[middle] > value ? (low, middle) : (middle + 1, high);
            }

            return low;
        }
    }
}
