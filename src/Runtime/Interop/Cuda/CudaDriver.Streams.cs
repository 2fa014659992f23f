using System.Runtime.InteropServices;

namespace Graft.Runtime.Interop;

internal static unsafe partial class CudaDriver
{
    [LibraryImport(Library)]
    public static partial CUresult cuStreamCreate(nint* stream, CUstream_flags flags);

    [LibraryImport(Library)]
    public static partial CUresult cuStreamDestroy_v2(nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuStreamSynchronize(nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuStreamQuery(nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuStreamWaitEvent(nint stream, nint recorded, uint flags);

    // ---- events ----------------------------------------------------------------------------------------------------------------------------------
    [LibraryImport(Library)]
    public static partial CUresult cuEventCreate(nint* created, CUevent_flags flags);

    [LibraryImport(Library)]
    public static partial CUresult cuEventRecord(nint recorded, nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuEventSynchronize(nint recorded);

    [LibraryImport(Library)]
    public static partial CUresult cuEventQuery(nint recorded);

    [LibraryImport(Library)]
    public static partial CUresult cuEventElapsedTime(float* milliseconds, nint start, nint end);

    [LibraryImport(Library)]
    public static partial CUresult cuEventDestroy_v2(nint recorded);

    // ---- capture and graphs ------------------------------------------------------------------------------------------------------------------------
    [LibraryImport(Library)]
    public static partial CUresult cuStreamBeginCapture_v2(nint stream, CUstreamCaptureMode mode);

    [LibraryImport(Library)]
    public static partial CUresult cuStreamEndCapture(nint stream, nint* graph);

    [LibraryImport(Library)]
    public static partial CUresult cuStreamIsCapturing(nint stream, CUstreamCaptureStatus* status);

    [LibraryImport(Library)]
    public static partial CUresult cuGraphInstantiateWithFlags(nint* executable, nint graph, ulong flags);

    [LibraryImport(Library)]
    public static partial CUresult cuGraphLaunch(nint executable, nint stream);

    [LibraryImport(Library)]
    public static partial CUresult cuGraphExecDestroy(nint executable);

    [LibraryImport(Library)]
    public static partial CUresult cuGraphDestroy(nint graph);

    /// <summary>With null for nodes: only their number.</summary>
    [LibraryImport(Library)]
    public static partial CUresult cuGraphGetNodes(nint graph, nint* nodes, nuint* count);
}
