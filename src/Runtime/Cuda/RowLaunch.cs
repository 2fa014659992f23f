namespace Graft.Runtime;

/// <summary>Who owns the rows of a kernel over rows, as rows.cuh has it: a warp each, or a block each.</summary>
/// <param name="Shape">The launch.</param>
/// <param name="ByWarp">A warp owns a row; else a block.</param>
internal readonly record struct RowLaunch(LaunchShape Shape, bool ByWarp)
{
    private const int Warp = 32;
    private const int ShortRowBlock = 128; // 4 rows: few enough that some dozens of rows still fill a card

    /// <summary>For rows of which a thread keeps so many packs of 16 bytes, in blocks of at most so many threads.</summary>
    public static RowLaunch Of(long rows, long length, DType dtype, int packs, int maxThreads)
    {
        long held = Packs(length, dtype);
        if (held <= Warp * packs)
        {
            return new(new((rows + (ShortRowBlock / Warp) - 1) / (ShortRowBlock / Warp), ShortRowBlock), true);
        }

        long threads = (held + packs - 1) / packs;
        return new(new(rows, (int)Math.Min(maxThreads, (threads + Warp - 1) / Warp * Warp)), false);
    }

    /// <summary>Packs of 16 bytes in a row.</summary>
    public static long Packs(long length, DType dtype)
    {
        int width = 16 / dtype.Size();
        return (length + width - 1) / width;
    }

    /// <summary>True where a tensor may be read by packs: it begins at a multiple of 16 bytes.</summary>
    public static bool IsAligned(Tensor tensor) => (tensor.DevicePointer() & 15) == 0;
}
