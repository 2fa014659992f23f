using Graft.Runtime;

namespace Graft.Models.Layers;

/// <summary>How B rows of T tokens lie: their positions, and which keys each may see. Packed documents, padding and a cache's past are all the same thing here: a range of keys.</summary>
/// <remarks>Keys of a row are counted from its first key, the cache's first token where there is a cache. Within its range a token sees what is not later than itself.</remarks>
public sealed class TokenLayout
{
    private readonly int[]? _positions;
    private readonly int[]? _starts;
    private readonly int _past;

    /// <summary>Plain rows: every token sees itself and all before it.</summary>
    public TokenLayout(int rows, int length)
        : this(rows, length, null, null, 0)
    {
    }

    /// <summary>Rows with documents, padding or a past.</summary>
    /// <param name="rows">B.</param>
    /// <param name="length">T, the new tokens of each row.</param>
    /// <param name="positions">(B·T) positions for rotary or learned embeddings; null counts from <paramref name="past"/>.</param>
    /// <param name="starts">(B·T) the first key each token sees; null is 0 for all.</param>
    /// <param name="past">How many keys lie before the first of these tokens.</param>
    /// <exception cref="ShapeException">Arrays of another length.</exception>
    public TokenLayout(int rows, int length, int[]? positions, int[]? starts, int past = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfNegative(past);
        if ((positions is not null && positions.Length != rows * length) || (starts is not null && starts.Length != rows * length))
        {
            throw new ShapeException($"layout: {positions?.Length} positions and {starts?.Length} starts were given for {rows} rows of {length} tokens.");
        }

        Rows = rows;
        Length = length;
        _positions = positions;
        _starts = starts;
        _past = past;
    }

    /// <summary>B.</summary>
    public int Rows { get; }

    /// <summary>T.</summary>
    public int Length { get; }

    /// <summary>Keys before the first of these tokens.</summary>
    public int Past => _past;

    /// <summary>True where causality alone says who sees whom.</summary>
    public bool IsPlain => _starts is null;

    /// <summary>The largest position plus one.</summary>
    public int MaxPosition => _positions is { Length: > 0 } ? _positions.Max() + 1 : _past + Length;

    /// <summary>Writes (B, T) positions.</summary>
    public void FillPositions(Span<int> values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = _positions is null ? _past + (i % Length) : _positions[i];
        }
    }

    /// <summary>Writes (B, T, 2) ranges [start, end) of keys: from the document's first key to the token itself.</summary>
    public void FillRanges(Span<int> values)
    {
        for (int i = 0; i < Rows * Length; i++)
        {
            values[2 * i] = _starts is null ? 0 : _starts[i];
            values[(2 * i) + 1] = _past + (i % Length) + 1;
        }
    }

    /// <summary>The layout of packed documents: ids that are equal and adjacent in a row belong together.</summary>
    /// <param name="rows">B.</param>
    /// <param name="length">T.</param>
    /// <param name="documents">(B·T) ids; positions restart with each.</param>
    public static TokenLayout Packed(int rows, int length, ReadOnlySpan<int> documents)
    {
        int[] positions = new int[rows * length];
        int[] starts = new int[rows * length];
        for (int i = 0; i < documents.Length; i++)
        {
            bool same = i % length != 0 && documents[i] == documents[i - 1];
            starts[i] = same ? starts[i - 1] : i % length;
            positions[i] = (i % length) - starts[i];
        }

        return new TokenLayout(rows, length, positions, starts);
    }

    /// <summary>The layout of padded rows: a token sees no padding before it, padding sees itself.</summary>
    /// <param name="rows">B.</param>
    /// <param name="length">T.</param>
    /// <param name="mask">(B·T) 1 for tokens, 0 for padding, on either side.</param>
    public static TokenLayout Padded(int rows, int length, ReadOnlySpan<int> mask)
    {
        int[] documents = new int[rows * length];
        for (int i = 0; i < documents.Length; i++)
        {
            documents[i] = mask[i] != 0 ? -1 : i;
        }

        return Packed(rows, length, documents);
    }
}
