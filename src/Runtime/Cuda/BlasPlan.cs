using Graft.Runtime.Interop;

namespace Graft.Runtime;

/// <summary>All that decides which algorithm computes a product: sizes as stored, types, transposes, alignment. Addresses and factors do not.</summary>
internal readonly record struct BlasKey(
    int M, int N, int K, int Batch, long LeadingA, long LeadingB, long LeadingC, long StrideA, long StrideB, long StrideC,
    DType Operands, DType Result, bool TransposedA, bool TransposedB, bool Bias, bool Tf32, int Alignments)
{
    /// <summary>Kernels ask for 16 bytes at most, and arenas give 64: more would let an address choose the algorithm, and so the bits.</summary>
    private const int MostAlignment = 16;

    public static BlasKey Of(in CudaMatrix a, in CudaMatrix b, in CudaMatrix c, bool bias, int batch, bool tf32) => new(
        c.Rows, c.Columns, a.InnerLength, batch, a.Leading, b.Leading, c.Leading, batch == 1 ? 0 : a.Stride, batch == 1 ? 0 : b.Stride, batch == 1 ? 0 : c.Stride,
        a.DType, c.DType, a.Transposed, b.Transposed, bias, tf32 && a.DType == DType.F32, Alignment(a.Address) | (Alignment(b.Address) << 8) | (Alignment(c.Address) << 16));

    public uint AlignmentOf(int matrix) => (uint)(Alignments >> (8 * matrix)) & 0xff;

    private static int Alignment(nint address) => (int)Math.Min(MostAlignment, address & -address);
}

/// <summary>A product ready to run: descriptors of cuBLASLt and the chosen algorithm.</summary>
/// <remarks>
/// cuBLASLt thinks in columns. A row-major (M, N) matrix is a column-major (N, M) one, so Cᵀ = op(B)ᵀ·op(A)ᵀ is computed: the operands change places, and each keeps
/// its transpose flag. A bias along the columns of C lies along the rows of Cᵀ, where the library's epilogue adds it.
/// </remarks>
internal sealed unsafe class BlasPlan : IDisposable
{
    private cublasLtMatmulAlgo_t _algorithm;

    public BlasPlan(in BlasKey key)
    {
        Key = key;
        try
        {
            nint description;
            Check.Ok(CuBlasLt.cublasLtMatmulDescCreate(&description, key.Tf32 ? cublasComputeType_t.C32F_FastTf32 : cublasComputeType_t.C32F, cudaDataType_t.R32F));
            Description = description;
            Set(cublasLtMatmulDescAttributes_t.TransA, (int)(key.TransposedB ? cublasOperation_t.T : cublasOperation_t.N));
            Set(cublasLtMatmulDescAttributes_t.TransB, (int)(key.TransposedA ? cublasOperation_t.T : cublasOperation_t.N));
            if (key.Bias)
            {
                Set(cublasLtMatmulDescAttributes_t.Epilogue, (int)cublasLtEpilogue_t.Bias);
                Set(cublasLtMatmulDescAttributes_t.BiasDataType, (int)Type(key.Result));
            }

            (int m, int n, int k) = (key.M, key.N, key.K);
            LayoutA = Layout(key.Operands, key.TransposedA ? k : m, key.TransposedA ? m : k, key.LeadingA, key.StrideA);
            LayoutB = Layout(key.Operands, key.TransposedB ? n : k, key.TransposedB ? k : n, key.LeadingB, key.StrideB);
            LayoutC = Layout(key.Result, m, n, key.LeadingC, key.StrideC);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public BlasKey Key { get; }

    public nint Description { get; private set; }

    public nint LayoutA { get; private set; }

    public nint LayoutB { get; private set; }

    public nint LayoutC { get; private set; }

    /// <summary>Other algorithms that may be faster; none once that was measured, or is not to be.</summary>
    public cublasLtMatmulAlgo_t[] Candidates { get; set; } = [];

    public ref cublasLtMatmulAlgo_t Algorithm => ref _algorithm;

    public nint Bias
    {
        set => Check.Ok(CuBlasLt.cublasLtMatmulDescSetAttribute(Description, cublasLtMatmulDescAttributes_t.BiasPointer, &value, (nuint)sizeof(nint)));
    }

    public void Dispose()
    {
        _ = LayoutC == 0 ? default : CuBlasLt.cublasLtMatrixLayoutDestroy(LayoutC);
        _ = LayoutB == 0 ? default : CuBlasLt.cublasLtMatrixLayoutDestroy(LayoutB);
        _ = LayoutA == 0 ? default : CuBlasLt.cublasLtMatrixLayoutDestroy(LayoutA);
        _ = Description == 0 ? default : CuBlasLt.cublasLtMatmulDescDestroy(Description);
        Description = LayoutA = LayoutB = LayoutC = 0;
    }

    private static cudaDataType_t Type(DType type) => type == DType.BF16 ? cudaDataType_t.R16BF : cudaDataType_t.R32F;

    private nint Layout(DType type, int rows, int columns, long leading, long stride)
    {
        nint layout;
        Check.Ok(CuBlasLt.cublasLtMatrixLayoutCreate(&layout, Type(type), (ulong)columns, (ulong)rows, leading));
        if (Key.Batch != 1)
        {
            int batch = Key.Batch;
            Check.Ok(CuBlasLt.cublasLtMatrixLayoutSetAttribute(layout, cublasLtMatrixLayoutAttribute_t.BatchCount, &batch, sizeof(int)));
            Check.Ok(CuBlasLt.cublasLtMatrixLayoutSetAttribute(layout, cublasLtMatrixLayoutAttribute_t.StridedBatchOffset, &stride, sizeof(long)));
        }

        return layout;
    }

    private void Set(cublasLtMatmulDescAttributes_t attribute, int value) =>
        Check.Ok(CuBlasLt.cublasLtMatmulDescSetAttribute(Description, attribute, &value, sizeof(int)));
}
