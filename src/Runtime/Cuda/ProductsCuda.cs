namespace Graft.Runtime;

/// <summary>Matrix products on a CUDA device: those of <see cref="Products"/>, by cuBLASLt.</summary>
/// <remarks>
/// F32 by F32 to F32, BF16 by BF16 to BF16 or F32; sums are always F32. Where operands differ, they take the type of the result: with an F32 result a BF16 weight is
/// widened, which is exact and what the CPU does while packing; with a BF16 result an F32 factor is rounded to BF16, as its product is in the end. Two BF16 operands
/// stay what they are, so a gradient F32 of BF16 activations needs no cast; the BF16 gradient of F32 operands is made in F32 and rounded. Casts, and that of a bias,
/// take workspace of the call.
/// </remarks>
internal static class ProductsCuda
{
    private const int Alignment = 64;
    private static readonly Kernel s_fill = new("linear", "linear_fill");

    /// <summary>Bytes of workspace that a product of these tensors takes for casts; 0 for most.</summary>
    public static long CastBytes(TensorSpec a, TensorSpec b, TensorSpec result, TensorSpec? bias = null)
    {
        DType sum = SumType(a.DType, b.DType, result.DType), operands = OperandType(a.DType, b.DType, sum);
        return CastBytes(a, operands) + CastBytes(b, operands) + CastBytes(result, sum) + (bias is { } spec ? CastBytes(spec, sum) : 0);
    }

    /// <summary>Bytes of one operand in another type.</summary>
    public static long CastBytes(TensorSpec x, DType to) => x.DType == to ? 0 : Padded(x.Shape.Count * to.Size());

    /// <summary>c = alpha·op(a)·op(b) + (accumulate ? c : 0) + bias, with <see cref="CastBytes(TensorSpec, TensorSpec, TensorSpec, TensorSpec?)"/> of workspace.</summary>
    public static void Run(
        CudaDevice device, Matrix a, Matrix b, Matrix c, Tensor? workspace = null, bool accumulate = false, float alpha = 1, Tensor? bias = null, int batch = 1)
    {
        if (c.Rows == 0 || c.Columns == 0 || batch == 0)
        {
            return;
        }

        nint free = workspace is null ? 0 : workspace.DevicePointer();
        DType sum = SumType(a.DType, b.DType, c.DType), operands = OperandType(a.DType, b.DType, sum);
        CudaMatrix left = CudaMatrix.Of(a) with { Address = Cast(device, a.Tensor, operands, ref free), DType = operands };
        CudaMatrix right = CudaMatrix.Of(b) with { Address = Cast(device, b.Tensor, operands, ref free), DType = operands };
        nint addend = bias is null ? 0 : Cast(device, bias, sum, ref free);
        CudaMatrix result = CudaMatrix.Of(c) with { DType = sum };
        if (sum != c.DType)
        {
            result = result with { Address = accumulate ? Cast(device, c.Tensor, sum, ref free) : free };
        }

        Multiply(device, left, right, result, accumulate, alpha, addend, batch);
        if (sum != c.DType)
        {
            Round(device, result.Address, c.Tensor);
        }
    }

    /// <summary>The same with operands of one type, and a bias (N) of the result's type or none.</summary>
    public static void Multiply(CudaDevice device, in CudaMatrix a, in CudaMatrix b, in CudaMatrix c, bool accumulate = false, float alpha = 1, nint bias = 0, int batch = 1)
    {
        if (c.Rows == 0 || c.Columns == 0 || batch == 0)
        {
            return;
        }

        BlasPlan? plan = null;
        if (a.InnerLength > 0)
        {
            plan = device.Blas.Plan(a, b, c, bias != 0, batch);
        }

        if (plan is null)
        {
            // Nothing to sum over; or a shape that cuBLASLt has no epilogue for: the bias goes first and the product is added to it.
            Fill(device, c, bias, accumulate, batch);
            if (a.InnerLength == 0)
            {
                return;
            }

            (bias, accumulate) = (0, true);
            plan = device.Blas.Plan(a, b, c, false, batch)
                ?? throw new GraftException($"cuBLASLt has no algorithm for ({c.Rows}, {a.InnerLength}) x ({a.InnerLength}, {c.Columns}), {a.DType.Name()} to {c.DType.Name()}, batch {batch}.");
        }

        device.Blas.Run(plan, a.Address, b.Address, c.Address, alpha, accumulate ? 1 : 0, bias);
    }

    /// <summary>The address of a tensor's elements in another type: its own, or of a copy at <paramref name="free"/>, which moves on.</summary>
    public static nint Cast(CudaDevice device, Tensor x, DType to, ref nint free)
    {
        if (x.DType == to)
        {
            return x.DevicePointer();
        }

        nint copy = free;
        long count = x.Shape.Count;
        free += (nint)Padded(count * to.Size());
        ElementwiseCuda.Cast(device, x.DevicePointer(), x.DType, copy, to, count);
        return copy;
    }

    /// <summary>Overwrites a BF16 tensor by F32 elements, rounded.</summary>
    public static void Round(CudaDevice device, nint from, Tensor to) => ElementwiseCuda.Cast(device, from, DType.F32, to.DevicePointer(), to.DType, to.Shape.Count);

    private static DType OperandType(DType a, DType b, DType sum) => a == DType.BF16 && b == DType.BF16 ? DType.BF16 : sum;

    private static DType SumType(DType a, DType b, DType result) => a == DType.F32 && b == DType.F32 ? DType.F32 : result;

    private static long Padded(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    // The rows of a batch follow one another, and so do rows with a gap between: only scratch has gaps, and no bias.
    private static void Fill(CudaDevice device, in CudaMatrix c, nint bias, bool accumulate, int batch)
    {
        if (accumulate && bias == 0)
        {
            return;
        }

        long count = batch * c.Rows * c.Leading;
        device.Launch(s_fill, c.DType, LaunchShape.Over(count), c.Address, bias, count, c.Columns, accumulate);
    }
}
