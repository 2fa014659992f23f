namespace Graft.Runtime.Cpu;

/// <summary>How (rows, columns) kernels are cut into chunks, and the check of their spans.</summary>
internal static class Sizes
{
    /// <summary>Rows per chunk: 32768 elements, or one row if rows are longer.</summary>
    public static int RowsPerChunk(int columns) => Math.Max(1, WorkerTeam.Grain / Math.Max(1, columns));

    public static int RowChunks(int rows, int columns) => WorkerTeam.ChunksFor(rows, RowsPerChunk(columns));

    /// <summary>The rows of a chunk.</summary>
    public static (int First, int Last) Rows(int chunk, int rows, int columns)
    {
        int each = RowsPerChunk(columns);
        return (chunk * each, Math.Min(rows, (chunk + 1) * each));
    }

    public static void Check(string kernel, long needed, int given)
    {
        if (needed != given)
        {
            throw new ArgumentException($"{kernel}: a span has {given} elements where {needed} are needed.");
        }
    }

    public static void Check(string kernel, long needed, int given, long neededToo, int givenToo)
    {
        Check(kernel, needed, given);
        Check(kernel, neededToo, givenToo);
    }
}
