using System.Runtime.InteropServices;

namespace Graft.Runtime.Interop;

/// <summary>The CUDA driver API. Devices are ints, device addresses and handles are nint.</summary>
internal static unsafe partial class CudaDriver
{
    internal const string Library = "cuda";

    [LibraryImport(Library)]
    public static partial CUresult cuInit(uint flags);

    [LibraryImport(Library)]
    public static partial CUresult cuDriverGetVersion(int* version);

    [LibraryImport(Library)]
    public static partial CUresult cuGetErrorName(CUresult error, byte** name);

    [LibraryImport(Library)]
    public static partial CUresult cuGetErrorString(CUresult error, byte** text);

    // ---- cards -----------------------------------------------------------------------------------------------------------------------------------
    [LibraryImport(Library)]
    public static partial CUresult cuDeviceGetCount(int* count);

    [LibraryImport(Library)]
    public static partial CUresult cuDeviceGet(int* device, int ordinal);

    [LibraryImport(Library)]
    public static partial CUresult cuDeviceGetName(byte* name, int length, int device);

    [LibraryImport(Library)]
    public static partial CUresult cuDeviceGetUuid_v2(CUuuid* uuid, int device);

    [LibraryImport(Library)]
    public static partial CUresult cuDeviceTotalMem_v2(nuint* bytes, int device);

    [LibraryImport(Library)]
    public static partial CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, int device);

    [LibraryImport(Library)]
    public static partial CUresult cuDeviceCanAccessPeer(int* can, int device, int peer);

    // ---- contexts --------------------------------------------------------------------------------------------------------------------------------
    [LibraryImport(Library)]
    public static partial CUresult cuDevicePrimaryCtxRetain(nint* context, int device);

    [LibraryImport(Library)]
    public static partial CUresult cuDevicePrimaryCtxRelease_v2(int device);

    [LibraryImport(Library)]
    public static partial CUresult cuCtxSetCurrent(nint context);

    [LibraryImport(Library)]
    public static partial CUresult cuCtxGetCurrent(nint* context);

    [LibraryImport(Library)]
    public static partial CUresult cuCtxSynchronize();

    [LibraryImport(Library)]
    public static partial CUresult cuCtxEnablePeerAccess(nint peerContext, uint flags);
}
