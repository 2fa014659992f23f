using Graft.Runtime;

namespace Graft.Training.Data;

/// <summary>Where training stands in its data; restoring it gives the same batches from there on.</summary>
/// <param name="Epoch">The epoch, from 0.</param>
/// <param name="Index">The place in the epoch's order where the current window of samples begins.</param>
/// <param name="Row">Rows of that window that have been handed out.</param>
public sealed record DataPosition(long Epoch, long Index, int Row)
{
    /// <summary>Before the first sample.</summary>
    public static DataPosition Start { get; } = new(0, 0, 0);
}

/// <summary>How batches are made.</summary>
public sealed record BatchOptions
{
    /// <summary>Rows of a batch, B.</summary>
    public int Rows { get; init; } = 8;

    /// <summary>Tokens of a row, T.</summary>
    public int Length { get; init; } = 256;

    /// <summary>How samples share rows.</summary>
    public PackingMode Packing { get; init; } = PackingMode.FirstFitDecreasing;

    /// <summary>Samples that are packed together; more pack tighter and move samples further from their place in the order.</summary>
    public int Window { get; init; } = 1024;

    /// <summary>The token on padding positions.</summary>
    public int PadToken { get; init; }

    /// <summary>Without packing: cut rows to the longest sample of the batch, rounded up to a multiple of this; 0 keeps all rows at
    /// <see cref="Length"/>.</summary>
    public int PadToMultipleOf { get; init; }
}

/// <summary>Makes batches from samples in an order, epoch after epoch.</summary>
/// <remarks>Not for several threads at once. An epoch never shares a batch with the next: its last batch may have rows of padding. Batches depend on samples,
/// order, options and position only.</remarks>
public sealed class BatchSampler
{
    private readonly ITokenSamples _samples;
    private readonly ISampleOrder _order;
    private readonly BatchOptions _options;
    private readonly int _window;
    private DataPosition _position = DataPosition.Start;

    // The window packed last: a window yields many batches.
    private (ISampleOrder? Order, long Epoch, long Index, long[] Samples, List<List<int>> Rows) _packed = (null, 0, 0, [], []);

    /// <summary>A sampler at the start of epoch 0.</summary>
    /// <exception cref="ConfigurationException">There are no samples, one is longer than a row, or a size is not positive.</exception>
    public BatchSampler(ITokenSamples samples, BatchOptions options, ISampleOrder order)
    {
        ArgumentNullException.ThrowIfNull(samples);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(order);
        if (samples.Count == 0 || order.Count == 0)
        {
            throw new ConfigurationException("There are no samples to make batches of: the data file is empty or every sample was left out.");
        }

        if (options.Rows < 1 || options.Length < 2 || options.Window < 1 || options.PadToMultipleOf < 0)
        {
            throw new ConfigurationException(
                $"Batches of {options.Rows} rows of {options.Length} tokens from windows of {options.Window} samples cannot be made: "
                + "needed are at least 1 row, 2 tokens and 1 sample.");
        }

        if (samples.LongestSample > options.Length)
        {
            throw new ConfigurationException(
                $"The longest sample has {samples.LongestSample} tokens and a row {options.Length}. "
                + "Raise the sequence length or lower max_length, by which long samples are cut or dropped.");
        }

        _samples = samples;
        _options = options;
        _order = order;
        _window = options.Packing == PackingMode.None ? options.Rows : options.Window;
    }

    /// <summary>What batches are made of.</summary>
    internal ITokenSamples Samples => _samples;

    /// <summary>Samples of an epoch.</summary>
    internal long SamplesPerEpoch => _order.Count;

    /// <summary>Where the next batch begins; set it to resume.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The position lies outside of an epoch.</exception>
    public DataPosition Position
    {
        get => _position;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            if (value.Epoch < 0 || value.Index < 0 || value.Index >= _order.Count || value.Row < 0)
            {
                throw new ArgumentOutOfRangeException(nameof(value), value, $"An epoch has {_order.Count} samples: the position belongs to other data.");
            }

            _position = value;
        }
    }

    /// <summary>The next batch; there is always one.</summary>
    public Batch Next()
    {
        Batch batch = Make(_order, _position, out DataPosition next);
        _position = next;
        return batch;
    }

    /// <summary>The batches of the first samples in file order, each sample once: what an evaluation runs over. The position does not move.</summary>
    public IEnumerable<Batch> Take(long count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ISampleOrder order = SampleOrder.Sequential(Math.Min(count, _samples.Count));
        DataPosition at = DataPosition.Start;
        while (at.Epoch == 0)
        {
            yield return Make(order, at, out at);
        }
    }

    /// <summary>The batches of an epoch, found by packing its lengths; orders with repeated samples may differ between epochs.</summary>
    public long CountBatches(long epoch = 0)
    {
        long rows = 0;
        for (long index = 0; index < _order.Count; index += _window)
        {
            rows += Rows(_order, epoch, index, out _).Count;
        }

        return (rows + _options.Rows - 1) / _options.Rows;
    }

    private Batch Make(ISampleOrder order, DataPosition from, out DataPosition next)
    {
        (long epoch, long index, int row) = from;
        List<long[]> filled = [];
        while (filled.Count < _options.Rows && index < order.Count)
        {
            List<List<int>> rows = Rows(order, epoch, index, out long[] window);
            while (filled.Count < _options.Rows && row < rows.Count)
            {
                filled.Add([.. rows[row++].Select(i => window[i])]);
            }

            if (row >= rows.Count)
            {
                (index, row) = (index + window.Length, 0);
            }
        }

        bool ends = index >= order.Count;
        next = ends ? new DataPosition(epoch + 1, 0, 0) : new DataPosition(epoch, index, row);
        var batch = new Batch(_options.Rows, LengthOf(filled), _options.PadToken) { Epoch = epoch, EndsEpoch = ends };
        for (int r = 0; r < filled.Count; r++)
        {
            int start = 0;
            foreach (long sample in filled[r])
            {
                batch.Place(_samples, sample, r, start);
                start += _samples.LengthOf(sample);
            }
        }

        return batch;
    }

    private List<List<int>> Rows(ISampleOrder order, long epoch, long index, out long[] window)
    {
        if (ReferenceEquals(_packed.Order, order) && _packed.Epoch == epoch && _packed.Index == index)
        {
            window = _packed.Samples;
            return _packed.Rows;
        }

        window = new long[Math.Min(_window, order.Count - index)];
        order.Fill(epoch, index, window);
        int[] lengths = new int[window.Length];
        for (int i = 0; i < window.Length; i++)
        {
            lengths[i] = _samples.LengthOf(window[i]);
        }

        List<List<int>> rows = Packer.Pack(lengths, _options.Length, _options.Packing);
        _packed = (order, epoch, index, window, rows);
        return rows;
    }

    private int LengthOf(List<long[]> rows)
    {
        int multiple = _options.PadToMultipleOf;
        if (_options.Packing != PackingMode.None || multiple == 0)
        {
            return _options.Length;
        }

        int longest = rows.Max(r => _samples.LengthOf(r[0]));
        return Math.Min(_options.Length, (longest + multiple - 1) / multiple * multiple);
    }
}
