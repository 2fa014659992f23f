using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Graft.Runtime;

namespace Graft.Bench;

/// <summary>The machine and its limits, by small loops of our own.</summary>
internal static unsafe class Machine
{
    private const int Accumulators = 12;

    /// <summary>The widest vectors that the runtime uses.</summary>
    public static int VectorBits => Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 128;

    /// <summary>Measures; about eight seconds, or one.</summary>
    public static MachineLimits Measure(bool quick)
    {
        double seconds = quick ? 0.05 : 0.5;
        int all = Environment.ProcessorCount;
        long bytes = quick ? 32L << 20 : 256L << 20; // per thread, far beyond the last cache
        using CpuDevice device = new(1);
        using Arena arena = new(device, "bandwidth");
        nint[] from = new nint[all], to = new nint[all];
        int count = (int)(bytes / sizeof(float));
        for (int i = 0; i < all; i++)
        {
            // Drawn, not zeros: untouched pages are all one page, and some processors are faster on zeros.
            Tensor source = arena.Allocate(new Shape(count), DType.F32, MemoryCategory.Workspace);
            new Rng(1).Stream("bandwidth").FillUniform(0, source.AsSpan<float>());
            Tensor target = arena.Allocate(new Shape(count), DType.F32, MemoryCategory.Workspace);
            target.CopyFrom(source);
            (from[i], to[i]) = ((nint)source.RawPointer(), (nint)target.RawPointer());
        }

        double Peak(int threads) => Best(threads, seconds, _ => Fma(1 << 20)) / 1e9;
        double Read(int threads) => Best(threads, seconds, i => Sum((float*)from[i], count) is 0.25f ? 0 : bytes) / 1e9;
        double Copy(int threads) => Best(threads, seconds, i => CopyOnce(from[i], to[i], bytes)) / 1e9;
        return new MachineLimits(Peak(1), Peak(all), Read(1), Read(all), Copy(1), Copy(all));
    }

    /// <summary>GFLOP/s of multiply-adds on all processors at this moment, in a tenth of a second.</summary>
    public static double PeakNow() => Best(Environment.ProcessorCount, 0.1, _ => Fma(1 << 18)) / 1e9;

    /// <summary>The processor's name.</summary>
    public static string Processor()
    {
        const string Key = "model name";
        string? line = File.Exists("/proc/cpuinfo") ? File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith(Key, StringComparison.Ordinal)) : null;
        return line is null ? RuntimeInformation.ProcessArchitecture.ToString() : line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
    }

    /// <summary>A part of a file's name: processor, number of cores, width of vectors.</summary>
    public static string FileName(string processor)
    {
        string plain = new([.. processor.Select(c => char.IsAsciiLetterOrDigit(c) ? char.ToLowerInvariant(c) : '-')]);
        string words = string.Join('-', plain.Split('-', StringSplitOptions.RemoveEmptyEntries).Take(4));
        return string.Create(CultureInfo.InvariantCulture, $"{words}-{Environment.ProcessorCount}x{VectorBits}");
    }

    // Amount per second over all threads, the best of five.
    private static double Best(int threads, double seconds, Func<int, double> once)
    {
        double best = 0;
        for (int attempt = 0; attempt < 5; attempt++)
        {
            double total = 0;
            using Barrier start = new(threads + 1);
            Thread[] team = new Thread[threads];
            double[] amounts = new double[threads], times = new double[threads];
            for (int i = 0; i < threads; i++)
            {
                int me = i;
                team[i] = new Thread(() =>
                {
                    _ = once(me);
                    start.SignalAndWait();
                    long begun = Stopwatch.GetTimestamp();
                    do
                    {
                        amounts[me] += once(me);
                        times[me] = Stopwatch.GetElapsedTime(begun).TotalSeconds;
                    }
                    while (times[me] < seconds / 5);
                });
                team[i].Start();
            }

            start.SignalAndWait();
            for (int i = 0; i < threads; i++)
            {
                team[i].Join();
                total += amounts[i] / times[i];
            }

            best = Math.Max(best, total);
        }

        return best;
    }

    private static double CopyOnce(nint from, nint to, long bytes)
    {
        CopyBandwidth.Copy((float*)from, (float*)to, bytes / sizeof(float));
        return 2.0 * bytes;
    }

    // Twelve sums that do not depend on each other: more than latency times units of any processor. No calls in the loop, so that they stay in registers.
    private static double Fma(int rounds)
    {
        float sum;
        if (Vector512.IsHardwareAccelerated)
        {
            Vector512<float> f = Vector512.Create(0.999f), d = Vector512.Create(0.01f);
            Vector512<float> a = d, b = d, c = d, e = d, g = d, h = d, i = d, j = d, k = d, l = d, m = d, n = d;
            for (int round = 0; round < rounds; round++)
            {
                a = Vector512.FusedMultiplyAdd(a, f, d);
                b = Vector512.FusedMultiplyAdd(b, f, d);
                c = Vector512.FusedMultiplyAdd(c, f, d);
                e = Vector512.FusedMultiplyAdd(e, f, d);
                g = Vector512.FusedMultiplyAdd(g, f, d);
                h = Vector512.FusedMultiplyAdd(h, f, d);
                i = Vector512.FusedMultiplyAdd(i, f, d);
                j = Vector512.FusedMultiplyAdd(j, f, d);
                k = Vector512.FusedMultiplyAdd(k, f, d);
                l = Vector512.FusedMultiplyAdd(l, f, d);
                m = Vector512.FusedMultiplyAdd(m, f, d);
                n = Vector512.FusedMultiplyAdd(n, f, d);
            }

            sum = Vector512.Sum(a + b + c + e + g + h + i + j + k + l + m + n);
        }
        else
        {
            Vector256<float> f = Vector256.Create(0.999f), d = Vector256.Create(0.01f);
            Vector256<float> a = d, b = d, c = d, e = d, g = d, h = d, i = d, j = d, k = d, l = d, m = d, n = d;
            for (int round = 0; round < rounds; round++)
            {
                a = Vector256.FusedMultiplyAdd(a, f, d);
                b = Vector256.FusedMultiplyAdd(b, f, d);
                c = Vector256.FusedMultiplyAdd(c, f, d);
                e = Vector256.FusedMultiplyAdd(e, f, d);
                g = Vector256.FusedMultiplyAdd(g, f, d);
                h = Vector256.FusedMultiplyAdd(h, f, d);
                i = Vector256.FusedMultiplyAdd(i, f, d);
                j = Vector256.FusedMultiplyAdd(j, f, d);
                k = Vector256.FusedMultiplyAdd(k, f, d);
                l = Vector256.FusedMultiplyAdd(l, f, d);
                m = Vector256.FusedMultiplyAdd(m, f, d);
                n = Vector256.FusedMultiplyAdd(n, f, d);
            }

            sum = Vector256.Sum(a + b + c + e + g + h + i + j + k + l + m + n);
        }

        int lanes = Vector512.IsHardwareAccelerated ? 16 : 8;
        return float.IsNaN(sum) ? 0 : 2.0 * Accumulators * lanes * rounds;
    }

    private static float Sum(float* from, int count)
    {
        Vector256<float> a = default, b = default, c = default, d = default;
        float* end = from + count;
        for (; from + 32 <= end; from += 32)
        {
            a += Vector256.Load(from);
            b += Vector256.Load(from + 8);
            c += Vector256.Load(from + 16);
            d += Vector256.Load(from + 24);
        }

        return Vector256.Sum(a + b + c + d);
    }
}
