using System.Globalization;

namespace Graft.Runtime.Interop;

/// <summary>Whether CUDA can be used here, and why not. A missing library is a state: nothing throws before something needs it.</summary>
internal static unsafe class CudaLibraries
{
    /// <summary>The oldest driver that is enough, as the driver says it: CUDA 12.0.</summary>
    public const int OldestDriver = 12000;

    public static bool IsAvailable(CudaLibrary library) => NativeLibraries.State(library).IsLoaded;

    /// <summary>Null where a CUDA device can be made; else what was tried and what to install.</summary>
    public static string? WhyUnavailable()
    {
        LibraryState driver = NativeLibraries.State(CudaLibrary.Driver);
        if (!driver.IsLoaded)
        {
            return Missing(driver).Message;
        }

        CUresult result = CudaDriver.cuInit(0);
        if (result is not (CUresult.Success or CUresult.NoDevice))
        {
            return $"CUDA: the driver at {driver.Path} does not start: {Check.Describe(result)}. Is the card's kernel module loaded, and of the same version?";
        }

        int version = DriverVersion();
        if (TooOld(version) is { } text)
        {
            return text;
        }

        if (CardCount() == 0)
        {
            string hidden = Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES") is { } visible ? $" CUDA_VISIBLE_DEVICES is '{visible}' and may hide it." : "";
            return $"CUDA: the driver (CUDA {Version(version)}) sees no card.{hidden} In a container, start it with the card visible.";
        }

        foreach (CudaLibrary library in (ReadOnlySpan<CudaLibrary>)[CudaLibrary.Nvrtc, CudaLibrary.CuBlasLt])
        {
            if (NativeLibraries.State(library) is { IsLoaded: false } missing)
            {
                return Missing(missing).Message;
            }
        }

        return null;
    }

    /// <summary>The CUDA version that the driver speaks, 12040 for 12.4; 0 without a driver.</summary>
    public static int DriverVersion()
    {
        int version = 0;
        if (IsAvailable(CudaLibrary.Driver))
        {
            Check.Ok(CudaDriver.cuDriverGetVersion(&version));
        }

        return version;
    }

    /// <summary>How many cards the driver sees; 0 without a driver, or with one that does not start.</summary>
    public static int CardCount()
    {
        int count = 0;
        return IsAvailable(CudaLibrary.Driver) && CudaDriver.cuInit(0) == CUresult.Success && CudaDriver.cuDeviceGetCount(&count) == CUresult.Success ? count : 0;
    }

    /// <summary>Throws where no CUDA device can be made.</summary>
    /// <exception cref="CudaUnavailableException">No driver, a driver that is too old, no card, no NVRTC or no cuBLASLt.</exception>
    public static void Require()
    {
        if (WhyUnavailable() is { } why)
        {
            throw new CudaUnavailableException(why);
        }
    }

    /// <summary>Throws where one library was not found.</summary>
    /// <exception cref="CudaUnavailableException">It was not: says what was tried and what to install.</exception>
    public static void Require(CudaLibrary library)
    {
        LibraryState state = NativeLibraries.State(library);
        if (!state.IsLoaded)
        {
            throw Missing(state);
        }
    }

    public static CudaUnavailableException Missing(LibraryState state)
    {
        (string what, string remedy) = state.Library switch
        {
            CudaLibrary.Driver => ("no NVIDIA driver", "Install the driver of the card, version 525 or newer; in a container, start it with the card visible"),
            CudaLibrary.Nvrtc => ("NVRTC, which compiles the kernels, is missing", "Install it from the CUDA toolkit or the system's packages (Debian: libnvrtc12)"),
            CudaLibrary.CuBlasLt => ("cuBLASLt, which multiplies matrices, is missing", "Install it from the CUDA toolkit or the system's packages (Debian: libcublaslt12)"),
            _ => ("NCCL, which is needed for several cards, is missing", "Install the system's package (Debian: libnccl2)"),
        };
        string problem = state.Problem is null ? "" : $" {state.Problem}.";
        return new($"CUDA: {what}; looked for {state.TriedText}.{problem} {remedy}, or name its folder in {LibrarySearch.PathVariable}.");
    }

    /// <summary>Null for a driver that is new enough.</summary>
    public static string? TooOld(int driver) => driver >= OldestDriver
        ? null
        : $"CUDA: the driver speaks CUDA {Version(driver)}, and {Version(OldestDriver)} or newer is needed. Install NVIDIA's driver 525 or newer.";

    /// <summary>12040 is 12.4.</summary>
    public static string Version(int number) => string.Create(CultureInfo.InvariantCulture, $"{number / 1000}.{number % 1000 / 10}");
}
