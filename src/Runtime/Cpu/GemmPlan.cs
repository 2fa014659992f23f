namespace Graft.Runtime.Cpu;

/// <summary>How a product is cut: tiles of C are the chunks, the summed dimension is cut into blocks that are added in order.</summary>
/// <remarks>A function of the sizes and the processor's vector width alone, so the same bits come out on any number of threads.</remarks>
internal readonly struct GemmPlan
{
    /// <summary>Most rows of a tile: a packed block of 144 x 384 is 216 KiB.</summary>
    public const int MaxTileRows = 144;

    /// <summary>Most columns of a tile: a packed block of 384 x 384 is 576 KiB; with the rows it stays inside 1 MiB of L2.</summary>
    public const int MaxTileColumns = 384;

    /// <summary>Longest block of the summed dimension.</summary>
    public const int MaxDepth = 384;

    // Enough tiles for 16 threads to share evenly, as long as a tile is worth some 20 µs of one core.
    private const int WantedTiles = 32;
    private const double LeastWork = 1e6;

    // A strip of so many rows is gone from the cache before the next tile reads it again (an output head's gradient: K is the vocabulary): fewer tiles.
    private const int LongStrip = 16384;
    private const int WantedTilesOfLongStrips = 8;

    public GemmPlan(int m, int n, int k, int batch)
    {
        Swap = Padded(n, m) * 1.15 < Padded(m, n);
        (Rows, Columns) = Swap ? (n, m) : (m, n);
        int blocks = Math.Max(1, (k + MaxDepth - 1) / MaxDepth);
        Depth = Math.Max(1, Math.Min(MaxDepth, Microkernel.RoundUp((k + blocks - 1) / blocks, 8)));

        int rows = MaxTileRows;
        int columns = MaxTileColumns;
        while (true)
        {
            TileRows = Even(Rows, rows, Microkernel.MaxRows);
            TileColumns = Even(Columns, columns, Microkernel.Columns);
            RowTiles = (Rows + TileRows - 1) / TileRows;
            ColumnTiles = (Columns + TileColumns - 1) / TileColumns;
            double work = (double)Math.Min(TileRows, Rows) * Math.Min(TileColumns, Columns) * Math.Max(k, 1);
            if ((double)RowTiles * ColumnTiles * batch >= (k >= LongStrip ? WantedTilesOfLongStrips : WantedTiles) || work < 2 * LeastWork)
            {
                break;
            }

            // Halving the columns packs the rows once more per tile, and the other way round: the cheaper first.
            bool canCutColumns = TileColumns > Microkernel.Columns;
            bool canCutRows = TileRows > Microkernel.MaxRows;
            if (canCutColumns && (!canCutRows || (long)ColumnTiles * Rows <= (long)RowTiles * Columns))
            {
                columns = TileColumns / 2;
            }
            else if (canCutRows)
            {
                rows = TileRows / 2;
            }
            else
            {
                break;
            }
        }
    }

    /// <summary>The rows of the microkernel run along N: better where N is far below the width of a column panel.</summary>
    public bool Swap { get; }

    /// <summary>M, or N if swapped.</summary>
    public int Rows { get; }

    /// <summary>N, or M if swapped.</summary>
    public int Columns { get; }

    /// <summary>Rows of a tile.</summary>
    public int TileRows { get; }

    /// <summary>Columns of a tile.</summary>
    public int TileColumns { get; }

    /// <summary>Length of a block of the summed dimension.</summary>
    public int Depth { get; }

    /// <summary>Tiles along the rows.</summary>
    public int RowTiles { get; }

    /// <summary>Tiles along the columns.</summary>
    public int ColumnTiles { get; }

    /// <summary>Area that the microkernels compute, padding included.</summary>
    private static double Padded(int rows, int columns) => (double)Microkernel.RoundUp(rows, Microkernel.RowStep) * Microkernel.RoundUp(columns, Microkernel.Columns);

    /// <summary>The size of equal pieces, none above <paramref name="most"/>, in multiples of <paramref name="step"/>.</summary>
    private static int Even(int size, int most, int step)
    {
        int limit = Math.Max(step, most / step * step);
        int pieces = Math.Max(1, (size + limit - 1) / limit);
        return Math.Min(limit, Microkernel.RoundUp((size + pieces - 1) / pieces, step));
    }
}
