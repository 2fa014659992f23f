using System.Runtime.InteropServices;

namespace Graft.Runtime.Interop;

/// <summary>NCCL: collectives between cards. Counts are elements; a communicator is nint.</summary>
internal static unsafe partial class Nccl
{
    internal const string Library = "nccl";

    [LibraryImport(Library)]
    public static partial ncclResult_t ncclGetVersion(int* version);

    [LibraryImport(Library)]
    public static partial ncclResult_t ncclGetUniqueId(ncclUniqueId* id);

    [LibraryImport(Library)]
    public static partial ncclResult_t ncclCommInitRank(nint* communicator, int ranks, ncclUniqueId id, int rank);

    [LibraryImport(Library)]
    public static partial ncclResult_t ncclCommDestroy(nint communicator);

    /// <summary>Ends a communicator whose calls may never return.</summary>
    [LibraryImport(Library)]
    public static partial ncclResult_t ncclCommAbort(nint communicator);

    [LibraryImport(Library)]
    public static partial ncclResult_t ncclCommGetAsyncError(nint communicator, ncclResult_t* error);

    [LibraryImport(Library)]
    public static partial byte* ncclGetErrorString(ncclResult_t result);

    // ---- collectives -----------------------------------------------------------------------------------------------------------------------------
    [LibraryImport(Library)]
    public static partial ncclResult_t ncclGroupStart();

    [LibraryImport(Library)]
    public static partial ncclResult_t ncclGroupEnd();

    [LibraryImport(Library)]
    public static partial ncclResult_t ncclAllReduce(nint from, nint to, nuint count, ncclDataType_t type, ncclRedOp_t op, nint communicator, nint stream);

    /// <summary>Count is that of one rank's share.</summary>
    [LibraryImport(Library)]
    public static partial ncclResult_t ncclReduceScatter(nint from, nint to, nuint receivedCount, ncclDataType_t type, ncclRedOp_t op, nint communicator, nint stream);

    /// <summary>Count is that of one rank's share.</summary>
    [LibraryImport(Library)]
    public static partial ncclResult_t ncclAllGather(nint from, nint to, nuint sentCount, ncclDataType_t type, nint communicator, nint stream);

    [LibraryImport(Library)]
    public static partial ncclResult_t ncclBroadcast(nint from, nint to, nuint count, ncclDataType_t type, int root, nint communicator, nint stream);

    [LibraryImport(Library)]
    public static partial ncclResult_t ncclSend(nint from, nuint count, ncclDataType_t type, int peer, nint communicator, nint stream);

    [LibraryImport(Library)]
    public static partial ncclResult_t ncclRecv(nint to, nuint count, ncclDataType_t type, int peer, nint communicator, nint stream);
}
