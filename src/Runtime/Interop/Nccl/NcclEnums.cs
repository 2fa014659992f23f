namespace Graft.Runtime.Interop;

// Names as in nccl.h, members without their prefix.
internal enum ncclResult_t
{
    Success = 0,
    UnhandledCudaError = 1,
    SystemError = 2,
    InternalError = 3,
    InvalidArgument = 4,
    InvalidUsage = 5,
    RemoteError = 6,
    InProgress = 7,
}

internal enum ncclDataType_t
{
    Int8 = 0,
    Uint8 = 1,
    Int32 = 2,
    Uint32 = 3,
    Int64 = 4,
    Uint64 = 5,
    Float16 = 6,
    Float32 = 7,
    Float64 = 8,
    Bfloat16 = 9,
}

internal enum ncclRedOp_t
{
    Sum = 0,
    Prod = 1,
    Max = 2,
    Min = 3,
    Avg = 4,
}

/// <summary>Made by one rank and carried to the others by other means; passed by value.</summary>
internal unsafe struct ncclUniqueId
{
    public fixed byte Bytes[128];
}
