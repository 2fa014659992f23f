namespace Graft.Runtime;

/// <summary>movement.cu: runs at regular distances (concat, slice) and other orders of axes.</summary>
internal static class MovementCuda
{
    private const int RunAxes = Shape.MaxRank - 1;
    private const int TileAxes = Shape.MaxRank - 2;
    private const int Tile = 32;

    private static readonly Kernel s_copyRuns = new("movement", "copy_runs");
    private static readonly Kernel s_addRuns = new("movement", "add_runs");
    private static readonly Kernel s_permuteRuns = new("movement", "permute_runs");
    private static readonly Kernel[] s_transpose = [new("movement", "transpose_1"), new("movement", "transpose_2"), new("movement", "transpose_4"), new("movement", "transpose_8")];

    /// <summary>Copies <paramref name="count"/> runs of elements, each side with its own start and distance between runs; adds them where told.</summary>
    public static void Runs(CudaDevice device, Tensor from, long fromStart, long fromStride, Tensor to, long toStart, long toStride, long run, long count, bool add)
    {
        if (run == 0 || count == 0)
        {
            return;
        }

        int size = to.DType.Size();
        nint source = from.DevicePointer() + (nint)(fromStart * size), target = to.DevicePointer() + (nint)(toStart * size);
        LaunchShape shape = ElementwiseCuda.Over(to.DType, run * count);
        if (add)
        {
            device.Launch(s_addRuns, to.DType, shape, source, fromStride, target, toStride, run, count);
        }
        else
        {
            device.Launch(s_copyRuns, shape, source, fromStride * size, target, toStride * size, run * size, count);
        }
    }

    /// <summary>Axis i of y is axis axes[i] of x.</summary>
    public static void Permute(CudaDevice device, Tensor x, Shape axes, Tensor y)
    {
        if (x.Shape.Count == 0)
        {
            return;
        }

        Span<long> lengths = stackalloc long[Shape.MaxRank], from = stackalloc long[Shape.MaxRank], to = stackalloc long[Shape.MaxRank];
        int rank = Permutation.Join(x.Shape, axes, lengths, from);
        if (rank == 0)
        {
            (lengths[0], from[0], rank) = (1, 1, 1);
        }

        long stride = 1;
        for (int i = rank - 1; i >= 0; i--)
        {
            to[i] = stride;
            stride *= lengths[i];
        }

        int last = rank - 1;
        if (from[last] == 1)
        {
            PermuteRuns(device, x, y, lengths[..rank], from, to);
        }
        else
        {
            Transpose(device, x, y, lengths[..rank], from, to);
        }
    }

    private static void PermuteRuns(CudaDevice device, Tensor x, Tensor y, Span<long> lengths, Span<long> from, Span<long> to)
    {
        int size = x.DType.Size(), last = lengths.Length - 1;
        Span<KernelArgument> arguments = stackalloc KernelArgument[4 + (3 * RunAxes)];
        arguments[0] = x;
        arguments[1] = y;
        arguments[2] = lengths[last] * size;
        arguments[3] = x.Shape.Count / lengths[last];
        int at = RunAxes;
        Pad(arguments[4..], RunAxes);
        for (int i = last - 1; i >= 0; i--)
        {
            at--;
            (arguments[4 + at], arguments[4 + RunAxes + at], arguments[4 + (2 * RunAxes) + at]) = (lengths[i], from[i] * size, to[i] * size);
        }

        device.Launch(s_permuteRuns, ElementwiseCuda.Over(x.DType, x.Shape.Count), arguments);
    }

    // The output's last axis against the one that runs along the input's contiguous one.
    private static void Transpose(CudaDevice device, Tensor x, Tensor y, Span<long> lengths, Span<long> from, Span<long> to)
    {
        int last = lengths.Length - 1, across = from.IndexOf(1L);
        long rows = lengths[across], columns = lengths[last];
        Span<KernelArgument> arguments = stackalloc KernelArgument[6 + (3 * TileAxes)];
        arguments[0] = x;
        arguments[1] = y;
        arguments[2] = rows;
        arguments[3] = columns;
        arguments[4] = from[last];
        arguments[5] = to[across];
        int at = TileAxes;
        Pad(arguments[6..], TileAxes);
        for (int i = last - 1; i >= 0; i--)
        {
            if (i != across)
            {
                at--;
                (arguments[6 + at], arguments[6 + TileAxes + at], arguments[6 + (2 * TileAxes) + at]) = (lengths[i], from[i], to[i]);
            }
        }

        long tiles = ((rows + Tile - 1) / Tile) * ((columns + Tile - 1) / Tile);
        device.Launch(s_transpose[int.Log2(x.DType.Size())], new LaunchShape(x.Shape.Count / (rows * columns) * tiles, 256), arguments);
    }

    // Axes of length 1 that move nowhere.
    private static void Pad(Span<KernelArgument> axes, int count)
    {
        axes[..count].Fill(1L);
        axes[count..].Fill(0L);
    }
}
