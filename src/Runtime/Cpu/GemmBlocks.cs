using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Graft.Runtime.Cpu;

/// <summary>A large product: blocks of both operands are packed once, by all workers together, into the team's memory, and multiplied tile by tile.</summary>
/// <remarks>
/// All is one job. A stage is a block of C at some positions of the summed dimension; its chunks pack, then multiply. There is memory for two stages, so
/// that a worker that finds no more tiles packs for the next stage instead of waiting for the others. Chunks are claimed in order: whoever waits, waits
/// for chunks that are being worked on. With one thread nothing ever waits.
/// </remarks>
internal unsafe struct GemmBlocks : IChunkWork
{
    private readonly WorkerTeam _team;
    private readonly GemmOperands _operands;
    private readonly GemmPlan _plan;
    private readonly GemmStages _stages;
    private Finished _finished;

    public GemmBlocks(WorkerTeam team, in GemmCall c, in GemmPlan plan)
    {
        _team = team;
        _operands = new(c, plan.Swap);
        _plan = plan;
        _stages = new(plan, c.Batch);
    }

    public readonly int Chunks => _stages.Chunks;

    public void Invoke(int chunk, int worker)
    {
        (int stage, int piece) = Math.DivRem(chunk, _stages.ChunksPerStage);
        int half = stage & 1;
        float* panels = (float*)_team.SharedScratch(half);
        if (piece < _stages.PackChunks)
        {
            // The memory was that of the stage before the last one.
            Await(ref _finished.Tiles(half), (stage >> 1) * _stages.TileChunks);
            Pack(stage, piece, panels);
            Interlocked.Increment(ref _finished.Packs(half));
        }
        else
        {
            Await(ref _finished.Packs(half), ((stage >> 1) + 1) * _stages.PackChunks);
            Await(ref _finished.Tiles(half ^ 1), ((stage + 1) >> 1) * _stages.TileChunks);
            Multiply(stage, piece - _stages.PackChunks, panels, (float*)_team.Scratch(worker));
            Interlocked.Increment(ref _finished.Tiles(half));
        }
    }

    private readonly void Pack(int stage, int piece, float* panels)
    {
        GemmStages.Block block = _stages[stage];
        (int index, int part) = Math.DivRem(piece, _stages.PackChunksPerDepth);
        if (index >= block.Depths)
        {
            return;
        }

        int depthBlock = block.FirstDepth + index;
        int depth = _plan.DepthOf(depthBlock);
        panels += index * _stages.PanelsPerDepth;
        if (part < _stages.RowPieces)
        {
            int at = part * GemmStages.PieceRows;
            int count = Math.Min(GemmStages.PieceRows, block.Rows - at);
            if (count > 0)
            {
                _operands.PackRows(panels + ((long)at * depth), block.Item, depthBlock * _plan.Depth, depth, block.Row + at, count);
            }
        }
        else
        {
            int at = (part - _stages.RowPieces) * GemmStages.PieceColumns;
            int count = Math.Min(GemmStages.PieceColumns, block.Columns - at);
            if (count > 0)
            {
                panels += _stages.RowPanels + ((long)at * depth);
                _operands.PackColumns(panels, block.Item, depthBlock * _plan.Depth, depth, block.Column + at, count);
            }
        }
    }

    private readonly void Multiply(int stage, int tile, float* panels, float* edge)
    {
        GemmStages.Block block = _stages[stage];
        (int columnTile, int rowTile) = Math.DivRem(tile, _stages.RowTiles);
        int row = rowTile * _plan.TileRows;
        int column = columnTile * _plan.TileColumns;
        int rows = Math.Min(_plan.TileRows, block.Rows - row);
        int columns = Math.Min(_plan.TileColumns, block.Columns - column);
        if (rows <= 0 || columns <= 0)
        {
            return;
        }

        float* c = _operands.At(block.Item, block.Row + row, block.Column + column);
        bool accumulate = block.FirstDepth > 0 || _operands.Prepare(block.Item, block.Row + row, block.Column + column, rows, columns, false);
        for (int i = 0; i < block.Depths; i++, panels += _stages.PanelsPerDepth)
        {
            int depth = _plan.DepthOf(block.FirstDepth + i);
            float* columnPanels = panels + _stages.RowPanels + ((long)column * depth);
            _operands.Multiply(panels + ((long)row * depth), columnPanels, depth, rows, columns, c, edge, accumulate);
            accumulate = true;
        }
    }

    private static void Await(ref int finished, int wanted)
    {
        SpinWait spin = default;
        while (Volatile.Read(ref finished) < wanted)
        {
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    /// <summary>How many chunks of either kind are done in the stages of either half, each on cache lines of its own.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 1024)]
    private struct Finished
    {
        private int _first;

        [UnscopedRef]
        public ref int Packs(int half) => ref Unsafe.Add(ref _first, 32 + (half * 64));

        [UnscopedRef]
        public ref int Tiles(int half) => ref Unsafe.Add(ref _first, 160 + (half * 64));
    }
}
