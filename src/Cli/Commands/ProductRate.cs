using System.Diagnostics;
using Graft.Runtime;
using Graft.Training.Runs;

namespace Graft.Cli.Commands;

/// <summary>How fast matrix products are on a run's device now: what a step's time is estimated by.</summary>
internal static class ProductRate
{
    private const double MinSeconds = 0.25;
    private const int MinRuns = 3; // the first on a card compiles

    /// <summary>Operations per second, the best of some products of square matrices of the run's type of activations; NaN where the run's card is not here.</summary>
    public static double Of(RunFile run)
    {
        if (DeviceName.KindOf(run.Training.Device) == DeviceKind.Cuda && (!Cuda.IsAvailable || Cuda.Devices.Any(c => c.IsEmulator)))
        {
            return double.NaN;
        }

        using Device device = DeviceName.Create(run.Training.Device, run.Training.Threads);
        return Measure(device, run.Model.Activations);
    }

    private static double Measure(Device device, DType type)
    {
        int size = device.IsHost ? 1024 : 4096; // enough to fill a card
        using Arena arena = new(device, "measure");
        float[] values = new float[size * size];
        new Rng(1).Stream("measure").FillNormal(0, values);
        Tape tape = Tape.None(arena);
        Tensor x = tape.Cast(arena.Create<float>(new Shape(size, size), values, MemoryCategory.Activations), type);
        double best = double.MaxValue;
        long started = Stopwatch.GetTimestamp();
        for (int run = 0; run < MinRuns || Stopwatch.GetElapsedTime(started).TotalSeconds < MinSeconds; run++)
        {
            using Scope scope = arena.Enter("product");
            device.Synchronize();
            long from = Stopwatch.GetTimestamp();
            _ = tape.Linear(x, x);
            device.Synchronize();
            best = Math.Min(best, Stopwatch.GetElapsedTime(from).TotalSeconds);
        }

        return 2.0 * size * size * size / best;
    }
}
