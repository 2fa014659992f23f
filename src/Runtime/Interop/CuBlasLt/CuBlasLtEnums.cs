namespace Graft.Runtime.Interop;

// Names as in cublasLt.h, cublas_api.h and library_types.h, members without their prefix; only what is used.
internal enum cublasStatus_t
{
    Success = 0,
    NotInitialized = 1,
    AllocFailed = 3,
    InvalidValue = 7,
    ArchMismatch = 8,
    MappingError = 11,
    ExecutionFailed = 13,
    InternalError = 14,
    NotSupported = 15,
    LicenseError = 16,
}

internal enum cudaDataType_t
{
    R32F = 0,
    R64F = 1,
    R16F = 2,
    R8I = 3,
    R32I = 10,
    R16BF = 14,
    R8F_E4M3 = 28,
    R8F_E5M2 = 29,
}

internal enum cublasComputeType_t
{
    C16F = 64,
    C32F = 68,
    C32F_Pedantic = 69,
    C64F = 70,
    C32F_Fast16F = 74,
    C32F_Fast16BF = 75,
    C32F_FastTf32 = 77,
}

internal enum cublasOperation_t
{
    N = 0,
    T = 1,
    C = 2,
}

internal enum cublasLtOrder_t
{
    Col = 0,
    Row = 1,
}

internal enum cublasLtPointerMode_t
{
    Host = 0,
    Device = 1,
}

internal enum cublasLtEpilogue_t
{
    Default = 1,
    Relu = 2,
    Bias = 4,
    ReluBias = 6,
    Gelu = 32,
    GeluBias = 36,
    GeluAux = 160,
    GeluAuxBias = 164,
    BGradA = 256,
    BGradB = 512,
}

[Flags]
internal enum cublasLtReductionScheme_t : uint
{
    None = 0,
    Inplace = 1,
    ComputeType = 2,
    OutputType = 4,
    Mask = 7,
}

internal enum cublasLtMatmulDescAttributes_t
{
    ComputeType = 0,
    ScaleType = 1,
    PointerMode = 2,
    TransA = 3,
    TransB = 4,
    TransC = 5,
    FillMode = 6,
    Epilogue = 7,
    BiasPointer = 8,
    BiasBatchStride = 10,
    EpilogueAuxPointer = 11,
    EpilogueAuxLd = 12,
    EpilogueAuxBatchStride = 13,
    SmCountTarget = 15,
    EpilogueAuxDataType = 22,
    BiasDataType = 26,
}

internal enum cublasLtMatrixLayoutAttribute_t
{
    Type = 0,
    Order = 1,
    Rows = 2,
    Cols = 3,
    Ld = 4,
    BatchCount = 5,
    StridedBatchOffset = 6,
}

internal enum cublasLtMatmulPreferenceAttributes_t
{
    SearchMode = 0,
    MaxWorkspaceBytes = 1,
    ReductionSchemeMask = 3,
    MinAlignmentABytes = 5,
    MinAlignmentBBytes = 6,
    MinAlignmentCBytes = 7,
    MinAlignmentDBytes = 8,
    MaxWavesCount = 9,
    ImplMask = 12,
}

/// <summary>An algorithm with its settings: the library's own 64 bytes, which may be kept and used again.</summary>
internal unsafe struct cublasLtMatmulAlgo_t
{
    public fixed ulong Data[8];
}

/// <summary>One answer of cublasLtMatmulAlgoGetHeuristic.</summary>
internal unsafe struct cublasLtMatmulHeuristicResult_t
{
    public cublasLtMatmulAlgo_t Algo;
    public nuint WorkspaceSize;
    public cublasStatus_t State;
    public float WavesCount;
    public fixed int Reserved[4];
}
