using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>Sums and maxima over a run of axes on CUDA, and their backward: reduce.cu.</summary>
internal static class ReduceCuda
{
    private const int RowChunk = 16384;
    private const int ColumnChunk = 256;
    private const int Stripe = 32;
    private const int HeldPacks = 4;
    private const int MaxThreads = 256;
    private static readonly Kernel s_sumRows = new("reduce", "reduce_sum_rows");
    private static readonly Kernel s_sumColumns = new("reduce", "reduce_sum_columns");
    private static readonly Kernel s_sumParts = new("reduce", "reduce_sum_parts");
    private static readonly Kernel s_maxRows = new("reduce", "reduce_max_rows");
    private static readonly Kernel s_maxColumns = new("reduce", "reduce_max_columns");
    private static readonly Kernel s_maxParts = new("reduce", "reduce_max_parts");
    private static readonly Kernel s_spread = new("reduce", "reduce_spread");
    private static readonly Kernel s_maxBackwardRows = new("reduce", "reduce_max_backward_rows");
    private static readonly Kernel s_maxBackwardColumns = new("reduce", "reduce_max_backward_columns");

    /// <summary>Floats of workspace of a sum or maximum over the middle of a range: one for each part, where there are several.</summary>
    public static long Workspace(AxisRange range)
    {
        int parts = Parts(range);
        return parts == 1 ? 0 : (long)range.Outer * parts * range.Inner;
    }

    /// <summary>y (Outer, Inner) = scale · Σ over the middle of x, or added to y; the largest with <paramref name="max"/>.</summary>
    public static void Run(CudaDevice device, bool max, AxisRange range, Tensor x, Tensor y, Tensor? workspace, double scale, bool accumulate = false)
    {
        long outputs = (long)range.Outer * range.Inner;
        if (outputs == 0)
        {
            return;
        }

        int parts = Parts(range);
        bool whole = parts == 1;
        KernelArgument to = whole ? y : workspace;
        DType type = whole ? y.DType : DType.F32;
        float factor = whole ? (float)scale : 1;
        bool adds = whole && accumulate;
        if (range.Inner == 1)
        {
            RowLaunch rows = RowLaunch.Of((long)range.Outer * parts, Math.Min(range.Count, RowChunk), x.DType, HeldPacks, MaxThreads);
            device.Launch(
                max ? s_maxRows : s_sumRows, x.DType, rows.Shape,
                x, to, type, factor, (long)range.Outer, (long)range.Count, RowChunk, parts, rows.ByWarp, adds);
        }
        else
        {
            int width = Stripe * 16 / x.DType.Size();
            int stripes = (range.Inner + width - 1) / width;
            LaunchShape shape = new((long)stripes * range.Outer * parts, MaxThreads);
            device.Launch(
                max ? s_maxColumns : s_sumColumns, x.DType, shape, x, to, type, factor, (long)range.Count, range.Inner, ColumnChunk, parts, stripes, adds);
        }

        if (!whole)
        {
            AddParts(device, max ? s_maxParts : s_sumParts, workspace!.DevicePointer(), range.Outer, parts, range.Inner, y, (float)scale, accumulate);
        }
    }

    /// <summary>
    /// sums (C) = or += the sum of the rows of x (..., C), e.g. the gradient of a bias; workspace as <see cref="Workspace"/> has it for (1, rows, C).
    /// </summary>
    public static void SumRows(CudaDevice device, Tensor x, Tensor sums, Tensor? workspace, bool accumulate)
        => Run(device, false, RowsOf(x.Shape, checked((int)sums.Shape.Count)), x, sums, workspace, 1, accumulate);

    /// <summary>A matrix of so many columns as a range whose rows are summed.</summary>
    public static AxisRange RowsOf(Shape x, int columns) => new(1, columns == 0 ? 0 : checked((int)(x.Count / columns)), columns);

    /// <summary>sums (C) = or += the sum of parts (count, C) F32; zeros of no parts.</summary>
    public static void SumParts(CudaDevice device, nint parts, int count, Tensor sums, bool accumulate)
    {
        int columns = checked((int)sums.Shape.Count);
        if (columns > 0)
        {
            AddParts(device, s_sumParts, parts, 1, count, columns, sums, 1, accumulate);
        }
    }

    /// <summary>dx (+)= scale · dy, repeated along the middle.</summary>
    public static void Spread(CudaDevice device, AxisRange range, Tensor dy, GradientMemory dx, double scale)
    {
        Tensor to = dx.Tensor!;
        if (to.Shape.Count > 0)
        {
            LaunchShape shape = LaunchShape.Over(RowLaunch.Packs(to.Shape.Count, to.DType));
            device.Launch(s_spread, to.DType, shape, dy, to, (float)scale, to.Shape.Count, (long)range.Count, range.Inner, dx.Adds);
        }
    }

    /// <summary>dx (+)= dy, shared equally by the elements that are the largest.</summary>
    public static void MaxBackward(CudaDevice device, AxisRange range, Tensor x, Tensor y, Tensor dy, GradientMemory dx)
    {
        Tensor to = dx.Tensor!;
        long outputs = (long)range.Outer * range.Inner;
        if (to.Shape.Count == 0)
        {
            return;
        }

        if (range.Inner == 1)
        {
            RowLaunch rows = RowLaunch.Of(outputs, range.Count, to.DType, HeldPacks, MaxThreads);
            device.Launch(s_maxBackwardRows, to.DType, rows.Shape, x, y, dy, to, outputs, range.Count, rows.ByWarp, dx.Adds);
        }
        else
        {
            device.Launch(s_maxBackwardColumns, to.DType, LaunchShape.Over(outputs), x, y, dy, to, outputs, (long)range.Count, range.Inner, dx.Adds);
        }
    }

    private static int Parts(AxisRange range)
    {
        int chunk = range.Inner == 1 ? RowChunk : ColumnChunk;
        return Math.Max(1, (int)(((long)range.Count + chunk - 1) / chunk));
    }

    private static void AddParts(CudaDevice device, Kernel kernel, nint parts, int outer, int count, int inner, Tensor y, float scale, bool accumulate)
    {
        int stripes = (inner + Stripe - 1) / Stripe;
        LaunchShape shape = new((long)stripes * outer, 512);
        device.Launch(kernel, shape, parts, y, y.DType, scale, count, inner, stripes, accumulate);
    }
}
