using System.Diagnostics;
using Graft.Runtime;
using Graft.Runtime.Interop;

namespace Graft.Bench.Gpu;

/// <summary>What the host spends on one recorded op, its backward, and on one node of a graph's replay, with ops too small to keep the card busy.</summary>
internal static class LaunchWork
{
    public static IEnumerable<GpuRow> Run(CudaDevice device, GpuOptions options)
    {
        using Arena inputs = new(device, "inputs");
        using Arena step = new(device, "step");
        int ops = options.Size(1000, 20), rounds = options.Rounds;
        Tensor x = Draw.Normal(inputs, new Shape(64), DType.F32);
        List<double> forward = [], backward = [], replay = [], whole = [];
        Chain(device, step, x, ops, null, null);
        for (int i = 0; i < rounds; i++)
        {
            Chain(device, step, x, ops, forward, backward);
        }

        using CudaGraph graph = device.Capture(() => Plain(step, x, ops));
        for (int i = 0; i < rounds; i++)
        {
            device.Synchronize();
            long start = Stopwatch.GetTimestamp();
            graph.Launch();
            long launched = Stopwatch.GetTimestamp();
            device.Synchronize();
            replay.Add(Microseconds(start, launched) / graph.Nodes);
            whole.Add(Microseconds(start, Stopwatch.GetTimestamp()) / graph.Nodes);
        }

        GpuRow Row(string work, List<double> us, double goal, string note)
        {
            GpuTimes times = GpuTimes.Of(us);
            return new GpuRow($"launch: {work}", "us", times.Median) { P90 = times.P90, Rounds = times.Count, Goal = goal, Note = note };
        }

        foreach (GpuRow row in Starts(device, options))
        {
            yield return row;
        }

        yield return Row("recorded op", forward, 4, $"the host's time per op of a chain of {ops}, on a tape");
        yield return Row("op's backward", backward, 0, "the same, backward through the chain");
        yield return Row("node of a graph's replay", replay, 1, $"the host's time to launch a graph of {graph.Nodes} nodes, per node");
        yield return Row("node of a graph's replay until the card is done", whole, 0, "kernels of one block each");
    }

    /// <summary>Every kernel file compiled for the card, and read from the cache of that.</summary>
    private static IEnumerable<GpuRow> Starts(CudaDevice device, GpuOptions options)
    {
        string folder = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        IReadOnlyList<string> families = options.Tiny ? KernelSource.Families.Take(2).ToArray() : KernelSource.Families;
        try
        {
            foreach ((string work, double goal) in new[] { ("cold", 5.0), ("from the cache", 0.15) })
            {
                long start = Stopwatch.GetTimestamp();
                _ = new KernelCompiler(NvrtcLibrary.Default, new KernelCache(folder)).CompileEach(families, device.Card.Architecture);
                double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
                yield return new GpuRow($"start: kernels {work}", "s", seconds) { Goal = goal, Note = $"{families.Count} files on {Environment.ProcessorCount} cores, without loading them" };
            }
        }
        finally
        {
            if (Directory.Exists(folder))
            {
                Directory.Delete(folder, recursive: true);
            }
        }
    }

    private static void Plain(Arena step, Tensor x, int ops)
    {
        using Scope scope = step.Enter("graph");
        Tape tape = Tape.None(step);
        Tensor y = x;
        for (int i = 0; i < ops; i++)
        {
            y = tape.Scale(y, 0.999);
        }
    }

    private static void Chain(CudaDevice device, Arena step, Tensor x, int ops, List<double>? forward, List<double>? backward)
    {
        Plain(step, x, ops);
        using Scope scope = step.Enter("chain");
        using Tape tape = new(step);
        Tensor y = tape.Watch(x), dy = step.Allocate(x.Shape, x.DType, MemoryCategory.Activations);
        dy.Fill(1);
        device.Synchronize();
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < ops; i++)
        {
            y = tape.Scale(y, 0.999);
        }

        long recorded = Stopwatch.GetTimestamp();
        device.Synchronize();
        long again = Stopwatch.GetTimestamp();
        tape.Backward(y, dy);
        long end = Stopwatch.GetTimestamp();
        device.Synchronize();
        forward?.Add(Microseconds(start, recorded) / ops);
        backward?.Add(Microseconds(again, end) / ops);
    }

    private static double Microseconds(long start, long end) => Stopwatch.GetElapsedTime(start, end).TotalMicroseconds;
}
