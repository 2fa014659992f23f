namespace Graft.Runtime;

/// <summary>RMS and layer normalisation on CUDA: rms_norm.cu, layer_norm.cu.</summary>
internal static class NormCuda
{
    private const int HeldPacks = 2;
    private const int MaxThreads = 1024;
    private const int MaxThreadsOfAll = 640;
    private const int MaxBlockParts = 384; // three blocks of 256 threads on each of 128 multiprocessors; a part costs 8 bytes a column
    private const int MaxWarpParts = 4 * MaxBlockParts;
    private const int LeastRows = 4; // of a part
    private static readonly Kernel s_rmsForward = new("rms_norm", "rms_norm_forward");
    private static readonly Kernel s_rmsBackward = new("rms_norm", "rms_norm_backward");
    private static readonly Kernel s_rmsBackwardAll = new("rms_norm", "rms_norm_backward_all");
    private static readonly Kernel s_rmsBackwardWeights = new("rms_norm", "rms_norm_backward_weights");
    private static readonly Kernel s_addRmsForward = new("add_rms_norm", "add_rms_norm_forward");
    private static readonly Kernel s_addRmsBackward = new("add_rms_norm", "add_rms_norm_backward");
    private static readonly Kernel s_addRmsBackwardAll = new("add_rms_norm", "add_rms_norm_backward_all");
    private static readonly Kernel s_layerForward = new("layer_norm", "layer_norm_forward");
    private static readonly Kernel s_layerBackward = new("layer_norm", "layer_norm_backward");
    private static readonly Kernel s_layerBackwardAll = new("layer_norm", "layer_norm_backward_all");
    private static readonly Kernel s_layerBackwardWeights = new("layer_norm", "layer_norm_backward_weights");

    public static void RmsForward(CudaCall c, float epsilon)
    {
        Tensor x = c.Input(0), w = c.Input(1);
        if (x.Shape.Count > 0)
        {
            RowLaunch rows = Rows(x.Spec);
            c.Device.Launch(s_rmsForward, x.DType, rows.Shape, x, w, w.DType, epsilon, c.Output, c.Saved(), x.Shape.Rows, x.Shape.Last, rows.ByWarp);
        }
    }

    public static void LayerForward(CudaCall c, float epsilon)
    {
        Tensor x = c.Input(0), w = c.Input(1);
        Tensor? b = c.Count > 2 ? c.Input(2) : null;
        if (x.Shape.Count > 0)
        {
            RowLaunch rows = Rows(x.Spec);
            c.Device.Launch(
                s_layerForward, x.DType, rows.Shape,
                x, w, w.DType, b, b?.DType ?? DType.F32, epsilon, c.Output, c.Saved(0), c.Saved(1), x.Shape.Rows, x.Shape.Last, rows.ByWarp);
        }
    }

    /// <summary>Floats of memory for each vector of weights that gets a gradient.</summary>
    public static long PartFloats(TensorSpec x) => (long)Parts(x) * x.Shape.Last;

    /// <summary>Floats of memory for the gradients of a weight, a bias, or both.</summary>
    public static long LayerFloats(TensorSpec x, bool weight, bool bias)
    {
        long alone = bias && !weight ? ReduceCuda.Workspace(ReduceCuda.RowsOf(x.Shape, x.Shape.Last)) : 0;
        return Math.Max(alone, PartFloats(x) * ((weight ? 1 : 0) + (bias ? 1 : 0)));
    }

    public static void RmsBackward(BackwardCall c, GradientMemory dx, GradientMemory dw, Tensor parts)
        => RmsBackward(c, c.Input(0), c.Input(1), c.OutputGradient, null, dx.Tensor, dx.Adds, dw, parts);

    public static void AddRmsForward(CudaCall c, float epsilon)
    {
        Tensor x = c.Input(0), w = c.Input(2);
        if (x.Shape.Count > 0)
        {
            RowLaunch rows = Rows(x.Spec);
            c.Device.Launch(
                s_addRmsForward, x.DType, rows.Shape,
                x, c.Input(1), w, w.DType, epsilon, c.OutputAt(0), c.OutputAt(1), c.Saved(), x.Shape.Rows, x.Shape.Last, rows.ByWarp);
        }
    }

    /// <summary>dx of h = x + r under the norm, plus <paramref name="dh"/> where something else used h as well.</summary>
    public static void RmsBackward(BackwardCall c, Tensor h, Tensor w, Tensor dy, Tensor? dh, Tensor? dx, bool adds, GradientMemory dw, Tensor parts)
    {
        Tensor rstd = c.Saved();
        (long rows, int columns, int count) = (h.Shape.Rows, h.Shape.Last, Parts(h.Spec));
        bool aligned = Aligned(h, w, dy, dh ?? dy) && (dx is null || RowLaunch.IsAligned(dx));
        if (h.Shape.Count > 0 && dx is not null && dw.Tensor is not null && Fits(h.Spec) && aligned)
        {
            RowLaunch all = All(h.Spec);
            if (dh is null)
            {
                c.Cuda.Launch(s_rmsBackwardAll, h.DType, all.Shape, h, w, w.DType, rstd, dy, dx, parts, rows, columns, count, all.ByWarp, adds);
            }
            else
            {
                c.Cuda.Launch(s_addRmsBackwardAll, h.DType, all.Shape, h, w, w.DType, rstd, dy, dh, dx, parts, rows, columns, count, all.ByWarp, adds);
            }
        }
        else if (h.Shape.Count > 0)
        {
            RowLaunch each = Rows(h.Spec);
            if (dx is not null && dh is null)
            {
                c.Cuda.Launch(s_rmsBackward, h.DType, each.Shape, h, w, w.DType, rstd, dy, dx, rows, columns, each.ByWarp, adds);
            }
            else if (dx is not null)
            {
                c.Cuda.Launch(s_addRmsBackward, h.DType, each.Shape, h, w, w.DType, rstd, dy, dh, dx, rows, columns, each.ByWarp, adds);
            }

            if (dw.Tensor is not null)
            {
                c.Cuda.Launch(s_rmsBackwardWeights, h.DType, Columns(h.Spec), h, rstd, dy, parts, rows, columns, count);
            }
        }

        if (dw.Tensor is { } sums)
        {
            ReduceCuda.SumParts(c.Cuda, parts.DevicePointer(), count, sums, dw.Adds);
        }
    }

    public static void LayerBackward(BackwardCall c, GradientMemory dx, GradientMemory dw, GradientMemory db, Tensor parts)
    {
        TensorSpec spec = c.InputSpec(0);
        Tensor dy = c.OutputGradient;
        (long rows, int columns, int count) = (spec.Shape.Rows, spec.Shape.Last, Parts(spec));
        nint weightParts = parts.DevicePointer();
        nint biasParts = dw.Tensor is null ? weightParts : weightParts + (nint)(4 * PartFloats(spec));
        if (dx.Tensor is null && dw.Tensor is null)
        {
            if (db.Tensor is not null)
            {
                ReduceCuda.SumRows(c.Cuda, dy, db.Tensor, parts, db.Adds); // x is not at hand
            }

            return;
        }

        Tensor x = c.Input(0), w = c.Input(1), mean = c.Saved(0), rstd = c.Saved(1);
        bool sums = dw.Tensor is not null || db.Tensor is not null;
        weightParts = sums && dw.Tensor is null ? 0 : weightParts;
        biasParts = db.Tensor is null ? 0 : biasParts;
        if (spec.Shape.Count > 0 && dx.Tensor is { } to && sums && Fits(spec) && Aligned(x, w, dy, to))
        {
            RowLaunch all = All(spec);
            c.Cuda.Launch(
                s_layerBackwardAll, x.DType, all.Shape,
                x, w, w.DType, mean, rstd, dy, to, weightParts, biasParts, rows, columns, count, all.ByWarp, dx.Adds);
        }
        else if (spec.Shape.Count > 0)
        {
            if (dx.Tensor is not null)
            {
                RowLaunch each = Rows(spec);
                c.Cuda.Launch(s_layerBackward, x.DType, each.Shape, x, w, w.DType, mean, rstd, dy, dx.Tensor, rows, columns, each.ByWarp, dx.Adds);
            }

            if (sums)
            {
                c.Cuda.Launch(s_layerBackwardWeights, x.DType, Columns(spec), x, mean, rstd, dy, weightParts, biasParts, rows, columns, count);
            }
        }

        if (dw.Tensor is not null)
        {
            ReduceCuda.SumParts(c.Cuda, weightParts, count, dw.Tensor, dw.Adds);
        }

        if (db.Tensor is not null)
        {
            ReduceCuda.SumParts(c.Cuda, biasParts, count, db.Tensor, db.Adds);
        }
    }

    private static RowLaunch Rows(TensorSpec x) => RowLaunch.Of(x.Shape.Rows, x.Shape.Last, x.DType, HeldPacks, MaxThreads);

    private static RowLaunch All(TensorSpec x) => RowLaunch.Of(Parts(x), x.Shape.Last, x.DType, HeldPacks, MaxThreadsOfAll);

    private static LaunchShape Columns(TensorSpec x) => LaunchShape.Over(x.Shape.Last) with { GridY = Parts(x) };

    // How many groups of rows have sums of columns of their own; by the shape alone, so that sums are the same on every card.
    private static int Parts(TensorSpec x)
    {
        int most = RowLaunch.Of(1, x.Shape.Last, x.DType, HeldPacks, MaxThreadsOfAll).ByWarp ? MaxWarpParts : MaxBlockParts;
        return (int)Math.Min(most, (x.Shape.Rows + LeastRows - 1) / LeastRows);
    }

    private static bool Fits(TensorSpec x) => RowLaunch.Packs(x.Shape.Last, x.DType) <= MaxThreadsOfAll * HeldPacks && x.Shape.Last * x.DType.Size() % 16 == 0;

    private static bool Aligned(Tensor a, Tensor b, Tensor c, Tensor d)
        => RowLaunch.IsAligned(a) && RowLaunch.IsAligned(b) && RowLaunch.IsAligned(c) && RowLaunch.IsAligned(d);
}
