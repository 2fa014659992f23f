namespace Graft.Runtime;

/// <summary>indexing.cu: elements and rows picked and added by index. Indices out of bounds raise the device's error flag.</summary>
internal static class IndexingCuda
{
    private const int Word = 16; // bytes of the widest word
    private const int SortedIds = 8192; // at a time: their order is found by comparing all pairs
    private const int AddedElements = 1024; // of a row at a time: the same

    private static readonly Kernel s_gather = new("indexing", "gather");
    private static readonly Kernel s_scatterAdd = new("indexing", "scatter_add");
    private static readonly Kernel s_embedding = new("indexing", "embedding");
    private static readonly Kernel s_sortIds = new("indexing", "sort_ids");
    private static readonly Kernel s_addRows = new("indexing", "add_rows");

    /// <summary>y[r, k] = x[r, index[r, k]].</summary>
    public static void Gather(CudaDevice device, Tensor x, Tensor index, Tensor y)
    {
        long count = index.Shape.Count;
        device.Launch(s_gather, x.DType, LaunchShape.Over(count), x, index, y, count, (long)index.Shape.Last, (long)x.Shape.Last, device.ErrorFlag);
    }

    /// <summary>target[r, index[r, k]] += source[r, k], in the order of k.</summary>
    public static void ScatterAdd(CudaDevice device, Tensor source, Tensor index, Tensor target)
    {
        long k = index.Shape.Last, rows = k == 0 ? 0 : index.Shape.Count / k;
        for (long first = 0; first < k; first += AddedElements)
        {
            long last = Math.Min(first + AddedElements, k);
            device.Launch(
                s_scatterAdd, target.DType, LaunchShape.Over(rows * (last - first)), source, index, target, rows, k, (long)target.Shape.Last, first, last, device.ErrorFlag);
        }
    }

    /// <summary>y[i] = table[ids[i]] in F32; a table of F32, BF16 or F16.</summary>
    public static void Embedding(CudaDevice device, Tensor table, Tensor ids, Tensor y)
    {
        int width = table.Shape.Last;
        if (width > 0)
        {
            device.Launch(s_embedding, table.DType, new LaunchShape(ids.Shape.Count, Block(width)), table, ids, y, width, table.Shape[0], device.ErrorFlag);
        }
    }

    /// <summary>Bytes of scratch for <see cref="AddRows"/>.</summary>
    public static int ScratchBytes(long ids) => 2 * sizeof(int) * (int)Math.Min(ids, SortedIds);

    /// <summary>target[ids[i]] += source[i] in the order of i; index <paramref name="skip"/> is left out. All of one dtype.</summary>
    public static void AddRows(CudaDevice device, Tensor source, Tensor ids, Tensor target, Tensor? scratch, int skip)
    {
        int width = target.Shape.Last, rows = target.Shape[0];
        long total = ids.Shape.Count;
        if (width == 0)
        {
            return;
        }

        int group = Word / target.DType.Size();
        nint from = source.DevicePointer(), to = target.DevicePointer();
        bool groups = width % group == 0 && (from | to) % Word == 0;
        int pieces = ((groups ? width / group : width) + 63) / 64;
        for (long first = 0; first < total; first += SortedIds)
        {
            int count = (int)Math.Min(SortedIds, total - first);
            nint sorted = scratch!.DevicePointer(), positions = sorted + (nint)(sizeof(int) * Math.Min(total, SortedIds));
            device.Launch(
                s_sortIds, new LaunchShape((count + 31) / 32, 256), ids.DevicePointer() + (nint)(first * sizeof(int)), count, rows, skip, sorted, positions, device.ErrorFlag);
            device.Launch(
                s_addRows, target.DType, new LaunchShape(count, 64) { GridY = pieces }, from + (nint)(first * width * target.DType.Size()), sorted, positions, count, to, width);
        }
    }

    /// <summary>Threads for a row, four elements each.</summary>
    internal static int Block(int width) => Math.Clamp((((width + 3) / 4) + 31) / 32 * 32, 32, 256);
}
