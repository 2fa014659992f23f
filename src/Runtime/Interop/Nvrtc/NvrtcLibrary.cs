using System.Runtime.InteropServices;

namespace Graft.Runtime.Interop;

/// <summary>What a call of NVRTC answers; names as in nvrtc.h, only what is used.</summary>
internal enum nvrtcResult
{
    Success = 0,
    OutOfMemory = 1,
    ProgramCreationFailure = 2,
    InvalidInput = 3,
    InvalidProgram = 4,
    InvalidOption = 5,
    Compilation = 6,
    BuiltinOperationFailure = 7,
}

/// <summary>A loaded NVRTC: its functions by address and not by name, so that several can be in one process (a toolkit's, and the emulated one of the tests).</summary>
internal sealed unsafe partial class NvrtcLibrary
{
    private static readonly Lazy<NvrtcLibrary> s_default = new(Open);

    private readonly delegate* unmanaged<int*, int*, nvrtcResult> _nvrtcVersion;
    private readonly delegate* unmanaged<nvrtcResult, byte*> _nvrtcGetErrorString;
    private readonly delegate* unmanaged<int*, nvrtcResult> _nvrtcGetNumSupportedArchs;
    private readonly delegate* unmanaged<int*, nvrtcResult> _nvrtcGetSupportedArchs;
    private readonly delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, nvrtcResult> _nvrtcCreateProgram;
    private readonly delegate* unmanaged<nint*, nvrtcResult> _nvrtcDestroyProgram;
    private readonly delegate* unmanaged<nint, int, byte**, nvrtcResult> _nvrtcCompileProgram;
    private readonly delegate* unmanaged<nint, nuint*, nvrtcResult> _nvrtcGetProgramLogSize;
    private readonly delegate* unmanaged<nint, byte*, nvrtcResult> _nvrtcGetProgramLog;
    private readonly delegate* unmanaged<nint, nuint*, nvrtcResult> _nvrtcGetCUBINSize;
    private readonly delegate* unmanaged<nint, byte*, nvrtcResult> _nvrtcGetCUBIN;
    private readonly delegate* unmanaged<nint, nuint*, nvrtcResult> _nvrtcGetPTXSize;
    private readonly delegate* unmanaged<nint, byte*, nvrtcResult> _nvrtcGetPTX;

    private NvrtcLibrary(nint handle, string path)
    {
        Path = path;
        _nvrtcVersion = (delegate* unmanaged<int*, int*, nvrtcResult>)NativeLibrary.GetExport(handle, "nvrtcVersion");
        _nvrtcGetErrorString = (delegate* unmanaged<nvrtcResult, byte*>)NativeLibrary.GetExport(handle, "nvrtcGetErrorString");
        _nvrtcCreateProgram = (delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, nvrtcResult>)NativeLibrary.GetExport(handle, "nvrtcCreateProgram");
        _nvrtcDestroyProgram = (delegate* unmanaged<nint*, nvrtcResult>)NativeLibrary.GetExport(handle, "nvrtcDestroyProgram");
        _nvrtcCompileProgram = (delegate* unmanaged<nint, int, byte**, nvrtcResult>)NativeLibrary.GetExport(handle, "nvrtcCompileProgram");
        _nvrtcGetProgramLogSize = (delegate* unmanaged<nint, nuint*, nvrtcResult>)NativeLibrary.GetExport(handle, "nvrtcGetProgramLogSize");
        _nvrtcGetProgramLog = (delegate* unmanaged<nint, byte*, nvrtcResult>)NativeLibrary.GetExport(handle, "nvrtcGetProgramLog");
        _nvrtcGetCUBINSize = (delegate* unmanaged<nint, nuint*, nvrtcResult>)NativeLibrary.GetExport(handle, "nvrtcGetCUBINSize");
        _nvrtcGetCUBIN = (delegate* unmanaged<nint, byte*, nvrtcResult>)NativeLibrary.GetExport(handle, "nvrtcGetCUBIN");
        _nvrtcGetPTXSize = (delegate* unmanaged<nint, nuint*, nvrtcResult>)NativeLibrary.GetExport(handle, "nvrtcGetPTXSize");
        _nvrtcGetPTX = (delegate* unmanaged<nint, byte*, nvrtcResult>)NativeLibrary.GetExport(handle, "nvrtcGetPTX");

        // Younger than the rest: an NVRTC without them cannot say what it supports.
        _nvrtcGetNumSupportedArchs = (delegate* unmanaged<int*, nvrtcResult>)Optional(handle, "nvrtcGetNumSupportedArchs");
        _nvrtcGetSupportedArchs = (delegate* unmanaged<int*, nvrtcResult>)Optional(handle, "nvrtcGetSupportedArchs");

        int major, minor;
        Ok(_nvrtcVersion(&major, &minor), "nvrtcVersion");
        Version = new Version(major, minor);
        Architectures = ReadArchitectures();
    }

    /// <summary>The one that the process uses: found as <see cref="LibrarySearch"/> says.</summary>
    /// <exception cref="CudaUnavailableException">There is none.</exception>
    public static NvrtcLibrary Default => s_default.Value;

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>12.4, of the toolkit that it belongs to.</summary>
    public Version Version { get; }

    /// <summary>What it compiles for, ascending, 90 for sm_90; empty where it does not say.</summary>
    public IReadOnlyList<int> Architectures { get; }

    /// <summary>A particular file, beside whatever else is loaded.</summary>
    /// <exception cref="CudaUnavailableException">It cannot be loaded.</exception>
    public static NvrtcLibrary Load(string path)
    {
        nint handle = LibrarySearch.LoadFile(CudaLibrary.Nvrtc, path, out string? problem);
        return handle != 0 ? new NvrtcLibrary(handle, path) : throw CudaLibraries.Missing(new(CudaLibrary.Nvrtc, 0, null, [path], problem));
    }

    private static NvrtcLibrary Open()
    {
        CudaLibraries.Require(CudaLibrary.Nvrtc);
        LibraryState state = NativeLibraries.State(CudaLibrary.Nvrtc);
        return new NvrtcLibrary(state.Handle, state.Path!);
    }

    private static nint Optional(nint handle, string name) => NativeLibrary.TryGetExport(handle, name, out nint address) ? address : 0;

    private int[] ReadArchitectures()
    {
        if (_nvrtcGetNumSupportedArchs is null || _nvrtcGetSupportedArchs is null)
        {
            return [];
        }

        int count;
        Ok(_nvrtcGetNumSupportedArchs(&count), "nvrtcGetNumSupportedArchs");
        int[] all = new int[count];
        fixed (int* first = all)
        {
            Ok(_nvrtcGetSupportedArchs(first), "nvrtcGetSupportedArchs");
        }

        Array.Sort(all);
        return all;
    }

    private void Ok(nvrtcResult result, string call)
    {
        if (result != nvrtcResult.Success)
        {
            string meaning = Marshal.PtrToStringUTF8((nint)_nvrtcGetErrorString(result)) ?? "";
            throw new CudaException("NVRTC", (int)result, $"nvrtcResult {result}", $"{meaning} ({Path}, version {Version})", call, null);
        }
    }
}
