namespace Graft.Runtime.Cpu;

/// <summary>The stages of a large product: rows of C at one or more blocks of the summed dimension, so many that their packed panels fit into the team's memory.</summary>
/// <remarks>
/// All chunks of a stage read the packed rows; the columns are cut into groups, and a chunk packs its group for itself. Which stage and chunk a number belongs
/// to decides when and by whom it is added, not what: the bits are those of <see cref="GemmPlan"/>.
/// </remarks>
internal readonly struct GemmStages
{
    // A group of 128 columns and 512 positions takes 256 KiB of a worker's L2.
    private const int MostGroupPanels = 4;
    private const int LeastPiecePanels = 8;
    private const int MostPackPanels = 8;

    // Chunks of a stage that a worker should find, so that none waits long for the last one.
    private const int ChunksPerWorker = 12;

    private readonly GemmPlan _plan;
    private readonly int _rows;
    private readonly int _depths;
    private readonly int _rowBlocks;
    private readonly int _depthSteps;

    public GemmStages(in GemmPlan plan, int batch, int threads)
    {
        _plan = plan;
        int rowStep = Microkernel.MaxRows;
        int room = CpuScratch.SharedBytes / sizeof(float) / plan.LongestDepth;
        (_rowBlocks, _rows) = Share(plan.Rows, room, rowStep);
        int fit = Math.Clamp(room / _rows, 1, plan.DepthBlocks);
        _depthSteps = (plan.DepthBlocks + fit - 1) / fit;
        _depths = (plan.DepthBlocks + _depthSteps - 1) / _depthSteps;
        (PackPieces, PackRows) = Share(_rows, MostPackPanels * rowStep, rowStep);

        int panels = (plan.Columns + Microkernel.Columns - 1) / Microkernel.Columns;
        int wanted = ChunksPerWorker * threads;
        (Groups, GroupColumns) = Share(plan.Columns, Math.Clamp(panels / wanted, 1, MostGroupPanels) * Microkernel.Columns, Microkernel.Columns);

        // Few columns: several chunks pack the same ones.
        int pieces = Math.Clamp(wanted / Groups, 1, Math.Max(1, _rows / (LeastPiecePanels * rowStep)));
        (RowPieces, PieceRows) = Share(_rows, (_rows + pieces - 1) / pieces, rowStep);
        Chunks = checked(_rowBlocks * _depthSteps * batch * ChunksPerStage);
    }

    /// <summary>Chunks of all stages.</summary>
    public int Chunks { get; }

    /// <summary>Chunks of a stage, packing first.</summary>
    public int ChunksPerStage => PackChunks + TileChunks;

    /// <summary>Chunks of a stage that pack rows; some do nothing in the last stages of the rows or of the summed dimension.</summary>
    public int PackChunks => _depths * PackPieces;

    /// <summary>Pieces in which the rows are packed, at one block of the summed dimension.</summary>
    public int PackPieces { get; }

    /// <summary>Rows of such a piece.</summary>
    public int PackRows { get; }

    /// <summary>Chunks of a stage that multiply.</summary>
    public int TileChunks => RowPieces * Groups;

    /// <summary>Pieces of the rows that meet a group of columns in chunks of their own.</summary>
    public int RowPieces { get; }

    /// <summary>Rows of such a piece.</summary>
    public int PieceRows { get; }

    /// <summary>Groups of columns.</summary>
    public int Groups { get; }

    /// <summary>Columns of a group.</summary>
    public int GroupColumns { get; }

    /// <summary>Elements of the packed rows at one block of the summed dimension.</summary>
    public long PanelsPerDepth => (long)_rows * _plan.LongestDepth;

    /// <summary>What stage <paramref name="stage"/> covers; the summed dimension runs fastest.</summary>
    public Block this[int stage]
    {
        get
        {
            (int place, int step) = Math.DivRem(stage, _depthSteps);
            (int item, int rowBlock) = Math.DivRem(place, _rowBlocks);
            int row = rowBlock * _rows;
            int depth = step * _depths;
            return new(item, row, Math.Min(_rows, _plan.Rows - row), depth, Math.Min(_depths, _plan.DepthBlocks - depth));
        }
    }

    // Equal pieces of whole panels, none above the most.
    private static (int Pieces, int Size) Share(int size, int most, int step)
    {
        most = Math.Max(step, most / step * step);
        int pieces = Math.Max(1, (size + most - 1) / most);
        int each = Microkernel.RoundUp((size + pieces - 1) / pieces, step);
        return ((size + each - 1) / each, each);
    }

    /// <summary>Rows of C, and the blocks of the summed dimension that are added in a stage.</summary>
    public readonly record struct Block(int Item, int Row, int Rows, int FirstDepth, int Depths);
}
