namespace Graft.Runtime.Cpu;

/// <summary>How a product is cut: C into tiles, the summed dimension into blocks that are added in order.</summary>
/// <remarks>A function of the sizes and the processor's vector width alone, so the same bits come out on any number of threads.</remarks>
internal readonly struct GemmPlan
{
    /// <summary>Most rows of a tile: a packed block of 144 x 512 is 288 KiB.</summary>
    public const int MaxTileRows = 144;

    /// <summary>Most columns of a tile; a panel of them at a time lies in L2 beside the rows.</summary>
    public const int MaxTileColumns = 384;

    /// <summary>Longest block of the summed dimension: a row panel of 24 KiB fits into L1.</summary>
    public const int MaxDepth = 512;

    /// <summary>Most positions of a second term that the last block takes in addition.</summary>
    public const int MaxTail = 128;

    // Enough tiles for 16 threads to share evenly, as long as a tile is worth some 20 µs of one core.
    private const int WantedTiles = 32;
    private const double LeastWork = 1e6;

    private readonly int _k;

    public GemmPlan(in GemmCall c)
    {
        Swap = Padded(c.N, c.M) * 1.15 < Padded(c.M, c.N);
        (Rows, Columns) = Swap ? (c.N, c.M) : (c.M, c.N);

        // The blocks are those of the first term alone: a second term that adds nothing changes no bit.
        DepthBlocks = Math.Max(1, (c.K + MaxDepth - 1) / MaxDepth);
        Depth = Math.Min(MaxDepth, Microkernel.RoundUp((c.K + DepthBlocks - 1) / DepthBlocks, 8));
        DepthBlocks = Depth == 0 ? 1 : Math.Max(1, (c.K + Depth - 1) / Depth);
        _k = c.K + c.Second.K;

        int rows = MaxTileRows;
        int columns = MaxTileColumns;
        while (true)
        {
            TileRows = Even(Rows, rows, Microkernel.MaxRows);
            TileColumns = Even(Columns, columns, Microkernel.Columns);
            RowTiles = (Rows + TileRows - 1) / TileRows;
            ColumnTiles = (Columns + TileColumns - 1) / TileColumns;
            double work = (double)Math.Min(TileRows, Rows) * Math.Min(TileColumns, Columns) * Math.Max(_k, 1);
            if ((double)RowTiles * ColumnTiles * c.Batch >= WantedTiles || work < 2 * LeastWork)
            {
                break;
            }

            // Halving the columns packs, or reads, the rows once more per tile, and the other way round: the cheaper first.
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

    /// <summary>Rows of a tile, a multiple of the microkernel's.</summary>
    public int TileRows { get; }

    /// <summary>Columns of a tile, a multiple of the microkernel's.</summary>
    public int TileColumns { get; }

    /// <summary>Tiles along the rows.</summary>
    public int RowTiles { get; }

    /// <summary>Tiles along the columns.</summary>
    public int ColumnTiles { get; }

    /// <summary>Length of a block of the summed dimension; the last one may be shorter, or longer by a second term.</summary>
    public int Depth { get; }

    /// <summary>Blocks of the summed dimension.</summary>
    public int DepthBlocks { get; }

    /// <summary>Most positions that a block of this product has.</summary>
    public int LongestDepth => Math.Max(Depth, DepthOf(DepthBlocks - 1));

    /// <summary>Nothing is summed.</summary>
    public bool IsEmpty => _k == 0;

    /// <summary>How many positions block <paramref name="block"/> has.</summary>
    public int DepthOf(int block) => block == DepthBlocks - 1 ? _k - (block * Depth) : Depth;

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
