namespace Graft.Runtime.Interop;

/// <summary>The native libraries of the CUDA device.</summary>
internal enum CudaLibrary
{
    /// <summary>The driver: comes with the card's driver, never with a toolkit.</summary>
    Driver,

    /// <summary>The compiler of kernels.</summary>
    Nvrtc,

    /// <summary>Matrix products.</summary>
    CuBlasLt,

    /// <summary>Collectives between cards; only needed for more than one.</summary>
    Nccl,
}

/// <summary>What became of looking for a library: its handle and where it was found, or everything that was tried.</summary>
/// <param name="Library">Which.</param>
/// <param name="Handle">0 where none was found.</param>
/// <param name="Path">The file, where it is known; else the name that the system's search found.</param>
/// <param name="Tried">Names and paths in the order they were tried, the one that was loaded included.</param>
/// <param name="Problem">Why a file that is there could not be loaded; null otherwise.</param>
internal sealed record LibraryState(CudaLibrary Library, nint Handle, string? Path, IReadOnlyList<string> Tried, string? Problem = null)
{
    public bool IsLoaded => Handle != 0;

    /// <summary>What was tried, in few words: names, and the places where they were looked for.</summary>
    public string TriedText
    {
        get
        {
            IEnumerable<string> names = Tried.Select(t => System.IO.Path.GetFileName(t)).Distinct();
            IEnumerable<string> folders = Tried.Select(t => System.IO.Path.GetDirectoryName(t) is { Length: > 0 } folder ? folder : "the system's search").Distinct();
            return $"{string.Join(", ", names)} in {string.Join(", ", folders)}";
        }
    }
}
