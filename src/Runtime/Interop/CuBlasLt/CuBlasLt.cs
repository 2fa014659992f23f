using System.Runtime.InteropServices;

namespace Graft.Runtime.Interop;

/// <summary>cuBLASLt: matrix products. Handles, descriptors and layouts are nint.</summary>
internal static unsafe partial class CuBlasLt
{
    internal const string Library = "cublasLt";

    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtCreate(nint* handle);

    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtDestroy(nint handle);

    [LibraryImport(Library)]
    public static partial nuint cublasLtGetVersion();

    [LibraryImport(Library)]
    public static partial byte* cublasLtGetStatusString(cublasStatus_t status);

    /// <summary>d = alpha · op(a) · op(b) + beta · c; alpha and beta have the scale type, on the host unless the descriptor's pointer mode says otherwise.</summary>
    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatmul(
        nint handle, nint description, void* alpha, nint a, nint layoutA, nint b, nint layoutB, void* beta, nint c, nint layoutC, nint d, nint layoutD,
        cublasLtMatmulAlgo_t* algo, nint workspace, nuint workspaceBytes, nint stream);

    /// <summary>The library's guesses at the fastest algorithms, best first.</summary>
    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
        nint handle, nint description, nint layoutA, nint layoutB, nint layoutC, nint layoutD, nint preference, int requested,
        cublasLtMatmulHeuristicResult_t* results, int* returned);

    // ---- what is multiplied ------------------------------------------------------------------------------------------------------------------------
    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatmulDescCreate(nint* description, cublasComputeType_t computeType, cudaDataType_t scaleType);

    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatmulDescDestroy(nint description);

    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatmulDescSetAttribute(nint description, cublasLtMatmulDescAttributes_t attribute, void* value, nuint bytes);

    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatrixLayoutCreate(nint* layout, cudaDataType_t type, ulong rows, ulong columns, long leadingDimension);

    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatrixLayoutDestroy(nint layout);

    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatrixLayoutSetAttribute(nint layout, cublasLtMatrixLayoutAttribute_t attribute, void* value, nuint bytes);

    // ---- what is preferred -------------------------------------------------------------------------------------------------------------------------
    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatmulPreferenceCreate(nint* preference);

    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatmulPreferenceDestroy(nint preference);

    [LibraryImport(Library)]
    public static partial cublasStatus_t cublasLtMatmulPreferenceSetAttribute(nint preference, cublasLtMatmulPreferenceAttributes_t attribute, void* value, nuint bytes);
}
