using System.Globalization;
using Graft.Runtime.Interop;

namespace Graft.Runtime;

/// <summary>What became of looking for a library of CUDA.</summary>
/// <param name="Name">"driver", "NVRTC", "cuBLASLt" or "NCCL".</param>
/// <param name="Path">The file that is used; null where none was found.</param>
/// <param name="Version">Of CUDA, or the library's own; null where none was found.</param>
/// <param name="Tried">Names and paths in their order.</param>
/// <param name="Missing">Null where it was found; else what to install.</param>
/// <param name="Notes">What else is to be said of it; empty for most.</param>
public sealed record CudaLibraryInfo(string Name, string? Path, string? Version, IReadOnlyList<string> Tried, string? Missing, string Notes);

/// <summary>The folder of compiled kernels.</summary>
/// <param name="Folder">Null where the user has none.</param>
/// <param name="Files">How many are kept.</param>
/// <param name="Bytes">Their size.</param>
/// <param name="Problem">Why none can be kept; null where they can.</param>
public sealed record KernelCacheInfo(string? Folder, int Files, long Bytes, string? Problem);

/// <summary>Whether CUDA can be used on this machine, with what, and why not. Asking never throws, and takes no memory of a card.</summary>
public static unsafe class Cuda
{
    /// <summary>True where a <see cref="CudaDevice"/> can be made. The emulated driver of the tests counts: see <see cref="CudaCard.IsEmulator"/>.</summary>
    public static bool IsAvailable => Unavailable is null;

    /// <summary>Null where a <see cref="CudaDevice"/> can be made; else what is missing, what was tried and what to install.</summary>
    public static string? Unavailable => CudaLibraries.WhyUnavailable();

    /// <summary>The cards that the driver sees, in its order; none without a driver.</summary>
    public static IReadOnlyList<CudaCard> Devices
    {
        get
        {
            CudaCard[] cards = new CudaCard[CudaLibraries.CardCount()];
            for (int i = 0; i < cards.Length; i++)
            {
                int device;
                Check.Ok(CudaDriver.cuDeviceGet(&device, i));
                cards[i] = CudaContext.Describe(i, device);
            }

            return cards;
        }
    }

    /// <summary>Each library that is used, found or not.</summary>
    public static IReadOnlyList<CudaLibraryInfo> Libraries => [.. NativeLibraries.Report().Select(Describe)];

    /// <summary>The user's folder of compiled kernels.</summary>
    public static KernelCacheInfo Cache
    {
        get
        {
            (int files, long bytes) = KernelCache.Default.Probe();
            return new(KernelCache.Default.Folder, files, bytes, KernelCache.Default.Problem);
        }
    }

    private static CudaLibraryInfo Describe(LibraryState state)
    {
        string name = state.Library switch
        {
            CudaLibrary.Driver => "driver",
            CudaLibrary.Nvrtc => "NVRTC",
            CudaLibrary.CuBlasLt => "cuBLASLt",
            _ => "NCCL",
        };
        if (!state.IsLoaded)
        {
            return new(name, null, null, state.Tried, CudaLibraries.Missing(state).Message, "");
        }

        string notes = state.Library switch
        {
            CudaLibrary.Driver when Devices.Any(c => c.IsEmulator) => "emulated, without a GPU",
            CudaLibrary.Nvrtc when NvrtcLibrary.Default.Architectures is { Count: > 0 } all => $"compiles for {string.Join(", ", all.Select(a => $"sm_{a}"))}",
            _ => "",
        };
        return new(name, state.Path, VersionOf(state.Library), state.Tried, null, notes);
    }

    private static string? VersionOf(CudaLibrary library)
    {
        switch (library)
        {
            case CudaLibrary.Driver:
                return $"CUDA {CudaLibraries.Version(CudaLibraries.DriverVersion())}";
            case CudaLibrary.Nvrtc:
                return NvrtcLibrary.Default.Version.ToString();
            case CudaLibrary.CuBlasLt:
                return Dotted((int)CuBlasLt.cublasLtGetVersion());
            default:
                int version;
                return Nccl.ncclGetVersion(&version) == ncclResult_t.Success ? Dotted(version) : null;
        }
    }

    /// <summary>120402 is 12.4.2, as NVIDIA's libraries write it; older ones write 11402 for 11.4.2.</summary>
    internal static string Dotted(int version)
    {
        int major = version >= 20000 ? 10000 : 1000;
        return string.Create(CultureInfo.InvariantCulture, $"{version / major}.{version % major / 100}.{version % 100}");
    }
}
