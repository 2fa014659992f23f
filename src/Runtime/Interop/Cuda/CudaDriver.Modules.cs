using System.Runtime.InteropServices;

namespace Graft.Runtime.Interop;

internal static unsafe partial class CudaDriver
{
    /// <summary>Loads a cubin, or PTX that ends with a zero byte.</summary>
    [LibraryImport(Library)]
    public static partial CUresult cuModuleLoadData(nint* module, void* image);

    [LibraryImport(Library)]
    public static partial CUresult cuModuleUnload(nint module);

    [LibraryImport(Library)]
    public static partial CUresult cuModuleGetFunction(nint* function, nint module, byte* name);

    [LibraryImport(Library)]
    public static partial CUresult cuModuleGetGlobal_v2(nint* address, nuint* bytes, nint module, byte* name);

    [LibraryImport(Library)]
    public static partial CUresult cuFuncSetAttribute(nint function, CUfunction_attribute attribute, int value);

    [LibraryImport(Library)]
    public static partial CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, nint function);

    [LibraryImport(Library)]
    public static partial CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, nint function, int blockSize, nuint dynamicSharedBytes);

    /// <summary>Parameters: the address of each one's value. The driver reads as many bytes as the kernel's parameter has, before it returns.</summary>
    [LibraryImport(Library)]
    public static partial CUresult cuLaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint dynamicSharedBytes, nint stream, void** parameters, void** extra);
}
