using System.Diagnostics;
using Graft.Runtime;

namespace Graft.Cli.Commands;

/// <summary>How fast matrix products are on this machine now: what a step's time is estimated by.</summary>
internal static class ProductRate
{
    private const int Size = 1024;
    private const double MinSeconds = 0.25;

    /// <summary>F32 operations per second, the best of some products of 1024 x 1024 matrices.</summary>
    public static double Measure(int threads)
    {
        using CpuDevice device = new(threads);
        using Arena arena = new(device, "measure");
        float[] values = new float[Size * Size];
        new Rng(1).Stream("measure").FillNormal(0, values);
        Tensor x = arena.Create<float>(new Shape(Size, Size), values, MemoryCategory.Activations);
        Tape tape = Tape.None(arena);
        double best = double.MaxValue;
        long started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started).TotalSeconds < MinSeconds)
        {
            using Scope scope = arena.Enter("product");
            long from = Stopwatch.GetTimestamp();
            _ = tape.Linear(x, x);
            best = Math.Min(best, Stopwatch.GetElapsedTime(from).TotalSeconds);
        }

        return 2.0 * Size * Size * Size / best;
    }
}
