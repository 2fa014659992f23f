namespace Graft.Training.Data;

/// <summary>Where a sample lies in a batch.</summary>
/// <param name="Row">The row.</param>
/// <param name="Start">Its first position in the row.</param>
/// <param name="Length">Its tokens.</param>
/// <param name="Sample">Its index in the data set.</param>
/// <param name="SampleId">Its stable id.</param>
public readonly record struct BatchSegment(int Row, int Start, int Length, long Sample, ulong SampleId);

/// <summary>Rows of tokens as a training step takes them; documents in one row never see each other.</summary>
/// <remarks>All arrays are row-major over (B, T). A padding position has the padding token, position 0, target <see cref="IgnoredTarget"/> and a document range
/// of itself alone.</remarks>
public sealed class Batch
{
    /// <summary>The target of a position without loss.</summary>
    public const int IgnoredTarget = -100;

    internal Batch(int rows, int length, int padToken)
    {
        Rows = rows;
        Length = length;
        int count = checked(rows * length);
        Ids = new int[count];
        Targets = new int[count];
        Positions = new int[count];
        Documents = new int[checked(2 * count)];
        Array.Fill(Ids, padToken);
        Array.Fill(Targets, IgnoredTarget);
        for (int i = 0; i < count; i++)
        {
            (Documents[2 * i], Documents[(2 * i) + 1]) = (i % length, (i % length) + 1);
        }
    }

    /// <summary>Rows, B. The last batch of an epoch has as many; rows without samples are padding.</summary>
    public int Rows { get; }

    /// <summary>Tokens of a row, T.</summary>
    public int Length { get; }

    /// <summary>Token ids (B, T).</summary>
    public int[] Ids { get; }

    /// <summary>The token to predict at each position (B, T): the next of the same document, or <see cref="IgnoredTarget"/>.</summary>
    public int[] Targets { get; }

    /// <summary>The position within the document (B, T), from 0.</summary>
    public int[] Positions { get; }

    /// <summary>The document of each position (B, T, 2): first position of the row that belongs to it, and the one after its last.</summary>
    public int[] Documents { get; }

    /// <summary>The samples in the batch, by row and start.</summary>
    public IReadOnlyList<BatchSegment> Segments => SegmentList;

    /// <summary>Positions with a target: what a sum of losses is divided by.</summary>
    public long TargetCount { get; private set; }

    /// <summary>Positions that are not padding.</summary>
    public long TokenCount { get; private set; }

    /// <summary>Rows that hold samples.</summary>
    public int FilledRows { get; private set; }

    /// <summary>The epoch that the samples belong to, from 0.</summary>
    public long Epoch { get; internal init; }

    /// <summary>True for the last batch of its epoch.</summary>
    public bool EndsEpoch { get; internal set; }

    private List<BatchSegment> SegmentList { get; } = [];

    internal void Place(ITokenSamples samples, long sample, int row, int start)
    {
        ReadOnlySpan<int> ids = samples.Ids(sample);
        ReadOnlySpan<byte> mask = samples.LossMask(sample);
        int at = (row * Length) + start;
        ids.CopyTo(Ids.AsSpan(at, ids.Length));
        for (int i = 0; i < ids.Length; i++)
        {
            Positions[at + i] = i;
            (Documents[2 * (at + i)], Documents[(2 * (at + i)) + 1]) = (start, start + ids.Length);
            if (i + 1 < ids.Length && mask[i + 1] != 0)
            {
                Targets[at + i] = ids[i + 1];
                TargetCount++;
            }
        }

        TokenCount += ids.Length;
        FilledRows = Math.Max(FilledRows, row + 1);
        SegmentList.Add(new BatchSegment(row, start, ids.Length, sample, samples.SampleId(sample)));
    }
}
