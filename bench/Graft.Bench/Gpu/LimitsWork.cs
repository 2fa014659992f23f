using Graft.Runtime;

namespace Graft.Bench.Gpu;

/// <summary>What the card can do at most, by its own copies and the vendor's products, on drawn numbers: the yardstick of all other works.</summary>
internal static class LimitsWork
{
    public static IEnumerable<GpuRow> Run(CudaDevice device, GpuOptions options)
    {
        using GpuTimer timer = new(device, options);
        using Arena arena = new(device, "limits");

        // Half a GiB: far beyond every cache.
        Shape shape = new(options.Size(128 << 20, 1 << 12));
        Tensor from = Draw.Normal(arena, shape, DType.F32), to = arena.Allocate(shape, DType.F32, MemoryCategory.Workspace);
        GpuTimes copy = timer.Measure(null, null, () => to.CopyFrom(from));
        double gbs = 2.0 * shape.Count * sizeof(float) / copy.Median / 1e6;

        int n = options.Size(8192, 64);
        Tensor x = Draw.Normal(arena, new Shape(n, n), DType.BF16, 1, 3), w = Draw.Normal(arena, new Shape(n, n), DType.BF16, 1, 4);
        GpuTimes product = timer.Measure(arena, null, () => Tape.None(arena).Linear(x, w));
        double tflops = 2.0 * n * n * n / product.Median / 1e9;
        yield return new GpuRow("limit: copy, bytes read and written", "GB/s", gbs) { P90 = copy.P90, Rounds = copy.Count, Note = "p90 in ms; 512 MiB per copy" };
        yield return new GpuRow($"limit: bf16 product {n} x {n} x {n}", "TFLOP/s", tflops) { P90 = product.P90, Rounds = product.Count, Note = "p90 in ms; cuBLASLt" };
    }
}
