using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Graft.Runtime.Cpu;

/// <summary>A large product: the rows of the microkernel are packed once, by all workers together, into the team's memory; a chunk packs a few columns for itself and multiplies.</summary>
/// <remarks>
/// All is one job. A stage is a block of rows at some positions of the summed dimension; its chunks pack, then multiply. There is memory for two stages, so
/// that a worker that finds no more to multiply packs for the next stage instead of waiting for the others. Chunks are claimed in order: whoever waits, waits
/// for chunks that are being worked on. With one thread nothing ever waits. The columns, of which each chunk needs its own, stay in the worker's L2 and
/// cross from no other core: with both operands packed for all, a product of 256 x 3072 x 768 reached 159 instead of 214 GFLOP/s on two Zen 4 cores.
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
        _stages = new(plan, c.Batch, team.Threads);
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
        (int index, int part) = Math.DivRem(piece, _stages.PackPieces);
        int at = part * _stages.PackRows;
        int count = Math.Min(_stages.PackRows, block.Rows - at);
        if (index < block.Depths && count > 0)
        {
            int depthBlock = block.FirstDepth + index;
            int depth = _plan.DepthOf(depthBlock);
            panels += (index * _stages.PanelsPerDepth) + ((long)at * depth);
            _operands.PackRows(panels, block.Item, depthBlock * _plan.Depth, depth, block.Row + at, count);
        }
    }

    private readonly void Multiply(int stage, int chunk, float* panels, float* own)
    {
        GemmStages.Block block = _stages[stage];
        (int group, int piece) = Math.DivRem(chunk, _stages.RowPieces);
        int row = piece * _stages.PieceRows;
        int rows = Math.Min(_stages.PieceRows, block.Rows - row);
        int column = group * _stages.GroupColumns;
        int columns = Math.Min(_stages.GroupColumns, _plan.Columns - column);
        if (rows <= 0)
        {
            return;
        }

        float* edge = own + ((long)_stages.GroupColumns * _plan.LongestDepth);
        float* c = _operands.At(block.Item, block.Row + row, column);
        bool accumulate = block.FirstDepth > 0 || _operands.Prepare(block.Item, block.Row + row, column, rows, columns, false);
        for (int i = 0; i < block.Depths; i++, panels += _stages.PanelsPerDepth)
        {
            int depthBlock = block.FirstDepth + i;
            int depth = _plan.DepthOf(depthBlock);
            _operands.PackColumns(own, block.Item, depthBlock * _plan.Depth, depth, column, columns);
            _operands.Multiply(panels + ((long)row * depth), own, depth, rows, columns, c, edge, accumulate);
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
