namespace Graft.Runtime.Cpu;

/// <summary>How a worker's scratch is divided; below 1.9 MB for every size up to 1024.</summary>
internal readonly unsafe struct AttentionBackwardBuffers
{
    public readonly int KeyBlock;
    public readonly int Columns;
    public readonly float* Keys;
    public readonly float* Values;
    public readonly float* KeyColumns;
    public readonly float* KeySums;
    public readonly float* ValueSums;
    public readonly float* Query;
    public readonly float* Gradient;
    public readonly float* QueryColumns;
    public readonly float* GradientColumns;
    public readonly float* Slopes;
    public readonly float* TurnedScores;
    public readonly float* TurnedSlopes;
    public readonly float* Tile;

    public AttentionBackwardBuffers(float* memory, int size)
    {
        int width = Microkernel.Columns;
        KeyBlock = AttentionBackwardBlocks.KeyBlock(size);
        Columns = Microkernel.RoundUp(size, width);
        Keys = memory;
        Values = Keys + (KeyBlock * size);
        KeyColumns = Values + (KeyBlock * size);
        KeySums = KeyColumns + (KeyBlock * Columns);
        ValueSums = KeySums + (KeyBlock * Columns);
        Query = ValueSums + (KeyBlock * Columns);
        Gradient = Query + (size * width);
        QueryColumns = Gradient + (size * width);
        GradientColumns = QueryColumns + (AttentionBackwardBlocks.QueryBlock * Columns);
        Slopes = GradientColumns + (AttentionBackwardBlocks.QueryBlock * Columns);
        TurnedScores = Slopes + (AttentionBackwardBlocks.QueryBlock * KeyBlock);
        TurnedSlopes = TurnedScores + (AttentionBackwardBlocks.QueryBlock * KeyBlock);
        Tile = TurnedSlopes + (AttentionBackwardBlocks.QueryBlock * KeyBlock);
    }
}
