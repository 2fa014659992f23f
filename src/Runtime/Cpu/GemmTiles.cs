namespace Graft.Runtime.Cpu;

/// <summary>A small product, or a batch of them: a tile of C per chunk, for which a worker packs by itself. No thread ever waits for another.</summary>
internal readonly unsafe struct GemmTiles(WorkerTeam team, in GemmCall c, in GemmPlan plan) : IChunkWork
{
    private readonly GemmOperands _operands = new(c, plan.Swap);
    private readonly GemmPlan _plan = plan;
    private readonly WorkerTeam _team = team;
    private readonly int _batch = c.Batch;

    public int Chunks => checked(_plan.RowTiles * _plan.ColumnTiles * _batch);

    public void Invoke(int chunk, int worker)
    {
        (int item, int tile) = Math.DivRem(chunk, _plan.RowTiles * _plan.ColumnTiles);
        (int columnTile, int rowTile) = Math.DivRem(tile, _plan.RowTiles);
        int row = rowTile * _plan.TileRows;
        int column = columnTile * _plan.TileColumns;
        int rows = Math.Min(_plan.TileRows, _plan.Rows - row);
        int columns = Math.Min(_plan.TileColumns, _plan.Columns - column);
        bool accumulate = _operands.Prepare(item, row, column, rows, columns, _plan.IsEmpty);
        if (_plan.IsEmpty)
        {
            return;
        }

        float* rowPanels = (float*)_team.Scratch(worker);
        float* columnPanels = rowPanels + (GemmPlan.MaxTileRows * (GemmPlan.MaxDepth + GemmPlan.MaxTail));
        float* edge = columnPanels + (GemmPlan.MaxTileColumns * (GemmPlan.MaxDepth + GemmPlan.MaxTail));
        float* c = _operands.At(item, row, column);
        for (int block = 0; block < _plan.DepthBlocks; block++)
        {
            int k = block * _plan.Depth;
            int depth = _plan.DepthOf(block);
            _operands.PackRows(rowPanels, item, k, depth, row, rows);
            _operands.PackColumns(columnPanels, item, k, depth, column, columns);
            _operands.Multiply(rowPanels, columnPanels, depth, rows, columns, c, edge, accumulate);
            accumulate = true;
        }
    }
}
