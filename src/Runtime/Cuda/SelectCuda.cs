using System.Numerics;

namespace Graft.Runtime;

/// <summary>Selection, order and running sums on CUDA: select.cu, scan.cu.</summary>
internal static class SelectCuda
{
    private const int MaxThreads = 256;
    private const int SharedKeys = 4096;
    private const int SortedRow = 512; // rows up to here are sorted whole: 45 steps of one or two pairs a thread, below the cost of a selection
    private static readonly Kernel s_argMax = new("select", "arg_max");
    private static readonly Kernel s_topK = new("select", "top_k");
    private static readonly Kernel s_topKBackward = new("select", "top_k_backward");
    private static readonly Kernel s_cumulativeSum = new("scan", "cumulative_sum");

    public static void ArgMax(CudaCall c, bool smallest)
    {
        Tensor x = c.Input(0);
        if (c.Output.Shape.Count > 0)
        {
            c.Device.Launch(s_argMax, x.DType, new LaunchShape(x.Shape.Rows, Threads(x.Shape.Last)), x, c.Output, x.Shape.Last, smallest);
        }
    }

    /// <summary>Bytes of workspace: keys that do not fit into shared memory.</summary>
    public static long TopKBytes(Shape x, int k)
    {
        int capacity = Capacity(x.Last, k);
        return k == 0 || capacity <= SharedKeys ? 0 : 8L * capacity * x.Rows;
    }

    public static void TopK(CudaCall c, in TopK op)
    {
        Tensor x = c.Input(0);
        if (c.Output.Shape.Count == 0)
        {
            return;
        }

        int length = x.Shape.Last, capacity = Capacity(length, op.K);
        bool select = Selects(length, op.K);
        LaunchShape shape = new(x.Shape.Rows, select ? MaxThreads : Threads(capacity / 2)) { SharedBytes = capacity <= SharedKeys ? 8 * capacity : 0 };
        KernelArgument keys = capacity <= SharedKeys ? KernelArgument.Null : c.Workspace;
        c.Device.Launch(s_topK, x.DType, shape, x, c.Output, c.OutputAt(1), keys, length, op.K, capacity, select, op.Smallest);
    }

    /// <summary>dx, which holds zeros or earlier contributions, += dy at the indices.</summary>
    public static void TopKBackward(CudaDevice device, Tensor dy, Tensor indices, Tensor dx)
    {
        if (dy.Shape.Count > 0)
        {
            device.Launch(s_topKBackward, dx.DType, LaunchShape.Over(dy.Shape.Count), dy, indices, dx, dy.Shape.Count, dx.Shape.Last, dy.Shape.Last);
        }
    }

    public static void CumulativeSum(CudaCall c, bool reverse)
    {
        Tensor x = c.Input(0);
        if (x.Shape.Count > 0)
        {
            c.Device.Launch(s_cumulativeSum, x.DType, new LaunchShape(x.Shape.Rows, Threads((x.Shape.Last + 3) / 4)), x, c.Output, x.Shape.Last, reverse);
        }
    }

    private static bool Selects(int length, int k) => k < length && length > SortedRow;

    private static int Capacity(int length, int k) => (int)BitOperations.RoundUpToPowerOf2((uint)(Selects(length, k) ? k : length));

    private static int Threads(int wanted) => (int)Math.Clamp(BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, wanted)), 32, MaxThreads);
}
