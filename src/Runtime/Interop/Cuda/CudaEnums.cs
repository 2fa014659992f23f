namespace Graft.Runtime.Interop;

// Names as in cuda.h, members without their prefix; only what is used. The driver's numbers.

/// <summary>What a call of the driver answers.</summary>
internal enum CUresult
{
    Success = 0,
    InvalidValue = 1,
    OutOfMemory = 2,
    NotInitialized = 3,
    Deinitialized = 4,
    NoDevice = 100,
    InvalidDevice = 101,
    InvalidImage = 200,
    InvalidContext = 201,
    NoBinaryForGpu = 209,
    EccUncorrectable = 214,
    PeerAccessUnsupported = 217,
    NvlinkUncorrectable = 220,
    NotFound = 500,
    NotReady = 600,
    IllegalAddress = 700,
    LaunchOutOfResources = 701,
    LaunchTimeout = 702,
    PeerAccessAlreadyEnabled = 704,
    ContextIsDestroyed = 709,
    Assert = 710,
    HardwareStackError = 714,
    IllegalInstruction = 715,
    MisalignedAddress = 716,
    InvalidAddressSpace = 717,
    InvalidPc = 718,
    LaunchFailed = 719,
    SystemDriverMismatch = 803,
    StreamCaptureUnsupported = 900,
    StreamCaptureInvalidated = 901,
    Unknown = 999,
}

internal enum CUdevice_attribute
{
    MaxThreadsPerBlock = 1,
    MaxSharedMemoryPerBlock = 8,
    WarpSize = 10,
    ClockRate = 13,
    MultiprocessorCount = 16,
    MemoryClockRate = 36,
    GlobalMemoryBusWidth = 37,
    L2CacheSize = 38,
    MaxThreadsPerMultiprocessor = 39,
    ComputeCapabilityMajor = 75,
    ComputeCapabilityMinor = 76,
    MaxSharedMemoryPerMultiprocessor = 81,
    MaxSharedMemoryPerBlockOptin = 97,
    MemoryPoolsSupported = 115,
}

internal enum CUfunction_attribute
{
    MaxThreadsPerBlock = 0,
    SharedSizeBytes = 1,
    ConstSizeBytes = 2,
    LocalSizeBytes = 3,
    NumRegs = 4,
    PtxVersion = 5,
    BinaryVersion = 6,
    MaxDynamicSharedSizeBytes = 8,
    PreferredSharedMemoryCarveout = 9,
}

[Flags]
internal enum CUevent_flags : uint
{
    Default = 0,
    BlockingSync = 1,
    DisableTiming = 2,
}

internal enum CUstream_flags : uint
{
    Default = 0,

    /// <summary>Does not wait for the null stream, nor the null stream for it.</summary>
    NonBlocking = 1,
}

internal enum CUstreamCaptureMode
{
    Global = 0,
    ThreadLocal = 1,
    Relaxed = 2,
}

internal enum CUstreamCaptureStatus
{
    None = 0,
    Active = 1,
    Invalidated = 2,
}

internal enum CUmemPool_attribute
{
    ReuseFollowEventDependencies = 1,
    ReuseAllowOpportunistic = 2,
    ReuseAllowInternalDependencies = 3,

    /// <summary>Bytes (cuuint64_t) that a pool keeps instead of giving them back at the next wait.</summary>
    ReleaseThreshold = 4,
}

/// <summary>A card's identity: the same in every process and order.</summary>
internal unsafe struct CUuuid
{
    public fixed byte Bytes[16];
}
