using System.Runtime.InteropServices;

namespace Graft.Bench.Peers;

/// <summary>While it lives, the C library keeps freed memory of any size for the next allocation (glibc: no blocks of their own pages, no trimming).</summary>
internal sealed partial class KeptMemory : IDisposable
{
    private const int TrimThreshold = -1;
    private const int MostMaps = -4;

    public KeptMemory() => Set(0, int.MaxValue);

    /// <inheritdoc/>
    public void Dispose() => Set(65536, 128 << 10);

    private static void Set(int maps, int trim)
    {
        if (OperatingSystem.IsLinux())
        {
            _ = mallopt(MostMaps, maps);
            _ = mallopt(TrimThreshold, trim);
        }
    }

    [LibraryImport("libc")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int mallopt(int parameter, int value);
}
