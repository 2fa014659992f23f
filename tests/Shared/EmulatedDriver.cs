using System.Runtime.InteropServices;

namespace Graft.Tests;

/// <summary>What the emulated driver offers besides CUDA: modes, reports, a fresh start after a fault.</summary>
internal static unsafe class EmulatedDriver
{
    private static readonly nint s_library = NativeLibrary.Load(Path.Combine(CudaTestDevice.EmulatorFolder, "libcuda.so.1"));

    /// <summary>Forgets a sticky error.</summary>
    public static void Reset() => ((delegate* unmanaged<void>)NativeLibrary.GetExport(s_library, "emuReset"))();

    /// <summary>Makes every later call fail, as if the card had fallen off the bus, until its context is made anew.</summary>
    public static void LoseDevices() => ((delegate* unmanaged<void>)NativeLibrary.GetExport(s_library, "emuLoseDevices"))();

    /// <summary>Sets a mode by the name that its environment variable has: checked, schedule, lazy.</summary>
    public static void Set(string name, string value)
    {
        nint n = Marshal.StringToCoTaskMemUTF8(name), v = Marshal.StringToCoTaskMemUTF8(value);
        ((delegate* unmanaged<nint, nint, void>)NativeLibrary.GetExport(s_library, "emuSetMode"))(n, v);
        Marshal.FreeCoTaskMem(n);
        Marshal.FreeCoTaskMem(v);
    }

    /// <summary>Kernels run so far.</summary>
    public static long Launches() => ((delegate* unmanaged<long>)NativeLibrary.GetExport(s_library, "emuLaunches"))();

    /// <summary>Accesses of kernels that checked mode has looked at.</summary>
    public static long CheckedAccesses() => ((delegate* unmanaged<long>)NativeLibrary.GetExport(s_library, "emuCheckedAccesses"))();

    /// <summary>The report of the last error.</summary>
    public static string? Report() => Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)NativeLibrary.GetExport(s_library, "emuLastReport"))());
}
