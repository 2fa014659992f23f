using System.Runtime.InteropServices;

namespace Graft.Runtime.Interop;

internal static unsafe partial class CudaDriver
{
    [LibraryImport(Library)]
    public static partial CUresult cuMemAlloc_v2(nint* address, nuint bytes);

    [LibraryImport(Library)]
    public static partial CUresult cuMemFree_v2(nint address);

    [LibraryImport(Library)]
    public static partial CUresult cuMemAllocAsync(nint* address, nuint bytes, nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuMemFreeAsync(nint address, nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuMemGetInfo_v2(nuint* free, nuint* total);

    /// <summary>Pinned host memory.</summary>
    [LibraryImport(Library)]
    public static partial CUresult cuMemHostAlloc(nint* address, nuint bytes, uint flags);

    [LibraryImport(Library)]
    public static partial CUresult cuMemFreeHost(nint address);

    // ---- copies: the target comes first --------------------------------------------------------------------------------------------------------------
    [LibraryImport(Library)]
    public static partial CUresult cuMemcpyHtoD_v2(nint to, nint from, nuint bytes);

    [LibraryImport(Library)]
    public static partial CUresult cuMemcpyDtoH_v2(nint to, nint from, nuint bytes);

    [LibraryImport(Library)]
    public static partial CUresult cuMemcpyHtoDAsync_v2(nint to, nint from, nuint bytes, nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuMemcpyDtoHAsync_v2(nint to, nint from, nuint bytes, nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuMemcpyDtoDAsync_v2(nint to, nint from, nuint bytes, nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuMemcpyPeerAsync(nint to, nint toContext, nint from, nint fromContext, nuint bytes, nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuMemsetD8Async(nint to, byte value, nuint count, nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuMemsetD32Async(nint to, uint value, nuint count, nint stream);

    // ---- pools ---------------------------------------------------------------------------------------------------------------------------------------
    [LibraryImport(Library)]
    public static partial CUresult cuDeviceGetDefaultMemPool(nint* pool, int device);

    [LibraryImport(Library)]
    public static partial CUresult cuMemPoolSetAttribute(nint pool, CUmemPool_attribute attribute, void* value);

    [LibraryImport(Library)]
    public static partial CUresult cuMemPoolTrimTo(nint pool, nuint bytesToKeep);
}
