namespace Graft.Runtime.Cpu;

/// <summary>The stages of a large product: blocks of C, each at one or more blocks of the summed dimension, whose packed panels fit into the team's memory.</summary>
/// <remarks>Which stage a number belongs to decides when it is added, not what: the bits are those of <see cref="GemmPlan"/>.</remarks>
internal readonly struct GemmStages
{
    /// <summary>Columns that one chunk packs.</summary>
    public static int PieceColumns => 4 * Microkernel.Columns;

    /// <summary>Rows that one chunk packs.</summary>
    public static int PieceRows => 8 * Microkernel.MaxRows;

    private readonly GemmPlan _plan;
    private readonly int _rows;
    private readonly int _columns;
    private readonly int _depths;
    private readonly int _rowBlocks;
    private readonly int _columnBlocks;
    private readonly int _depthSteps;

    public GemmStages(in GemmPlan plan, int batch)
    {
        _plan = plan;
        int depth = plan.LongestDepth;
        int room = CpuScratch.SharedBytes / sizeof(float) / depth;
        int rows = Microkernel.RoundUp(plan.Rows, Microkernel.MaxRows);
        int columns = Microkernel.RoundUp(plan.Columns, Microkernel.Columns);

        // A square block packs least; a short side leaves its room to the other one.
        int mostRows = Math.Max(room / 2, room - columns);
        (_rowBlocks, RowTiles) = Share(plan.RowTiles, plan.TileRows, mostRows);
        _rows = Math.Min(rows, RowTiles * plan.TileRows);
        (_columnBlocks, ColumnTiles) = Share(plan.ColumnTiles, plan.TileColumns, room - _rows);
        _columns = Math.Min(columns, ColumnTiles * plan.TileColumns);
        int fit = Math.Clamp(room / (_rows + _columns), 1, plan.DepthBlocks);
        _depthSteps = (plan.DepthBlocks + fit - 1) / fit;
        _depths = (plan.DepthBlocks + _depthSteps - 1) / _depthSteps;

        RowPieces = (_rows + PieceRows - 1) / PieceRows;
        PackChunksPerDepth = RowPieces + ((_columns + PieceColumns - 1) / PieceColumns);
        RowPanels = (long)_rows * depth;
        PanelsPerDepth = RowPanels + ((long)_columns * depth);
        Chunks = checked(_rowBlocks * _columnBlocks * _depthSteps * batch * ChunksPerStage);
    }

    /// <summary>Chunks of all stages.</summary>
    public int Chunks { get; }

    /// <summary>Chunks of a stage, packing first.</summary>
    public int ChunksPerStage => PackChunks + TileChunks;

    /// <summary>Chunks of a stage that pack; some do nothing in the last stages of a row, a column or the summed dimension.</summary>
    public int PackChunks => _depths * PackChunksPerDepth;

    /// <summary>The same of one block of the summed dimension: pieces of rows, then of columns.</summary>
    public int PackChunksPerDepth { get; }

    /// <summary>Pieces of rows.</summary>
    public int RowPieces { get; }

    /// <summary>Chunks of a stage that multiply.</summary>
    public int TileChunks => RowTiles * ColumnTiles;

    /// <summary>Tiles along the rows of a stage.</summary>
    public int RowTiles { get; }

    /// <summary>Tiles along the columns of a stage.</summary>
    public int ColumnTiles { get; }

    /// <summary>Elements of the packed rows of one block of the summed dimension.</summary>
    public long RowPanels { get; }

    /// <summary>Elements of all panels of one block of the summed dimension: rows, then columns.</summary>
    public long PanelsPerDepth { get; }

    /// <summary>What stage <paramref name="stage"/> covers; the summed dimension runs fastest, then the rows.</summary>
    public Block this[int stage]
    {
        get
        {
            (int place, int step) = Math.DivRem(stage, _depthSteps);
            (int columnPlace, int rowBlock) = Math.DivRem(place, _rowBlocks);
            (int item, int columnBlock) = Math.DivRem(columnPlace, _columnBlocks);
            int row = rowBlock * _rows;
            int column = columnBlock * _columns;
            int depth = step * _depths;
            return new(
                item, row, Math.Min(_rows, _plan.Rows - row), column, Math.Min(_columns, _plan.Columns - column), depth, Math.Min(_depths, _plan.DepthBlocks - depth));
        }
    }

    // Equal blocks of whole tiles, at least one.
    private static (int Blocks, int Tiles) Share(int tiles, int size, int most)
    {
        int fit = Math.Max(1, most / size);
        int blocks = (tiles + fit - 1) / fit;
        int each = (tiles + blocks - 1) / blocks;
        return ((tiles + each - 1) / each, each);
    }

    /// <summary>A block of C and the blocks of the summed dimension that are added in a stage.</summary>
    public readonly record struct Block(int Item, int Row, int Rows, int Column, int Columns, int FirstDepth, int Depths);
}
