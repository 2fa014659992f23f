using System.Diagnostics;
using Graft.Runtime;

namespace Graft.Bench.Gpu;

/// <summary>Milliseconds of some samples.</summary>
/// <param name="Median">The middle one.</param>
/// <param name="P90">Nine tenths are below.</param>
/// <param name="Count">How many.</param>
internal readonly record struct GpuTimes(double Median, double P90, int Count)
{
    public static GpuTimes Of(List<double> milliseconds)
    {
        double[] sorted = [.. milliseconds.Order()];
        int half = sorted.Length / 2;
        double median = sorted.Length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
        return new GpuTimes(median, sorted[Math.Min(sorted.Length - 1, (int)Math.Ceiling(0.9 * sorted.Length) - 1)], sorted.Length);
    }
}

/// <summary>Times work on the card by its own clock.</summary>
/// <remarks>Before each sample a block larger than the second-level cache is written, so that nothing of the last sample is in it; while the card does that, the host runs ahead, so that
/// what is measured is the card's work and not the host's.</remarks>
internal sealed class GpuTimer : IDisposable
{
    private readonly CudaDevice _device;
    private readonly GpuOptions _options;
    private readonly CudaEvent _start;
    private readonly CudaEvent _end;
    private readonly Arena _arena;
    private readonly Tensor _flush;

    public GpuTimer(CudaDevice device, GpuOptions options)
    {
        _device = device;
        _options = options;
        _start = new CudaEvent(device);
        _end = new CudaEvent(device);
        _arena = new Arena(device, "flush");

        // 256 MiB: four times the cache of an H200 and more than that of any card so far.
        _flush = _arena.Allocate(new Shape(options.Tiny ? 1 << 12 : 64 << 20), DType.F32, MemoryCategory.Workspace);
    }

    /// <summary>Samples of a work.</summary>
    /// <param name="step">Whatever a sample allocates here ends with it; null where nothing is.</param>
    /// <param name="prepare">Runs before the clock starts: a recorded forward, whose backward is measured.</param>
    /// <param name="work">What is timed.</param>
    /// <param name="end">Runs after the clock stopped, while what was allocated still lives.</param>
    /// <param name="perSample">How often the work does what is reported.</param>
    public GpuTimes Measure(Arena? step, Action? prepare, Action work, Action? end = null, int perSample = 1)
    {
        List<double> samples = [];
        int warmUps = _options.Tiny ? 1 : 3;
        long begun = Stopwatch.GetTimestamp();
        for (int i = 0; i < warmUps + _options.Rounds; i++)
        {
            if (i >= warmUps + 3 && Stopwatch.GetElapsedTime(begun).TotalSeconds > _options.SecondsPerFigure)
            {
                break;
            }

            using Scope scope = step is null ? default : step.Enter("sample");
            prepare?.Invoke();
            _flush.Fill(i);
            _start.Record();
            work();
            _end.Record();
            _end.Wait();
            if (i >= warmUps)
            {
                samples.Add(_end.MillisecondsSince(_start) / perSample);
            }

            end?.Invoke();
        }

        _device.Synchronize(); // raises what a kernel reported
        return GpuTimes.Of(samples);
    }

    public void Dispose()
    {
        _arena.Dispose();
        _start.Dispose();
        _end.Dispose();
    }
}
