using System.Diagnostics;

namespace Graft.Bench;

/// <summary>Times of one side.</summary>
/// <param name="Median">Seconds.</param>
/// <param name="Spread">(Longest - shortest) / median.</param>
/// <param name="Count">How many times were taken.</param>
internal readonly record struct Times(double Median, double Spread, int Count)
{
    public static Times Of(List<double> seconds)
    {
        double[] sorted = [.. seconds.Order()];
        int half = sorted.Length / 2;
        double median = sorted.Length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
        return new Times(median, (sorted[^1] - sorted[0]) / median, sorted.Length);
    }
}

/// <summary>Measures sides in turn, so that a change of the machine's mood meets all of them.</summary>
internal static class Pair
{
    // Threads of a side may spin for a moment after their last work.
    private static readonly TimeSpan s_settle = TimeSpan.FromMilliseconds(30);

    /// <summary>A B A B ..., after both were warmed up. A measurement repeats its side for at least a fifth of a second.</summary>
    /// <param name="options">Rounds and time.</param>
    /// <param name="ours">One run of our side.</param>
    /// <param name="theirs">One run of the peer; null where there is none.</param>
    /// <param name="warmUps">Runs of each side that do not count.</param>
    /// <param name="repeat">False measures one run at a time.</param>
    public static (Times Ours, Times? Theirs) Measure(BenchOptions options, Action ours, Action? theirs, int warmUps = 2, bool repeat = true)
    {
        Times[] times = InTurn(options, theirs is null ? [ours] : [ours, theirs], warmUps, repeat);
        return (times[0], theirs is null ? null : times[1]);
    }

    /// <summary>The same for any number of sides: A B C A B C ...</summary>
    public static Times[] InTurn(BenchOptions options, IReadOnlyList<Action> sides, int warmUps = 2, bool repeat = true)
    {
        double seconds = options.Quick ? 0 : 1;
        int[] runs = [.. sides.Select(side => WarmUp(side, warmUps, seconds, repeat))];
        List<double>[] times = [.. sides.Select(_ => new List<double>())];
        long begun = Stopwatch.GetTimestamp();
        for (int round = 0; round < options.Rounds; round++)
        {
            if (round >= 3 && Stopwatch.GetElapsedTime(begun) > options.Budget)
            {
                break;
            }

            for (int i = 0; i < sides.Count; i++)
            {
                times[i].Add(Time(sides[i], runs[i], repeat));
            }
        }

        return [.. times.Select(Times.Of)];
    }

    /// <summary>Seconds of one run, after one that does not count.</summary>
    public static double Once(Action side) => Time(side, 1, lead: true);

    // At least so many runs and so many seconds: the runtime compiles what is called often once more, in the background.
    private static int WarmUp(Action side, int runs, double seconds, bool repeat)
    {
        double last = 0;
        long begun = Stopwatch.GetTimestamp();
        for (int i = 0; i < runs || Stopwatch.GetElapsedTime(begun).TotalSeconds < seconds; i++)
        {
            long start = Stopwatch.GetTimestamp();
            side();
            last = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        return repeat ? Math.Clamp((int)(0.2 / Math.Max(last, 1e-6)), 1, 10000) : 1;
    }

    private static double Time(Action side, int runs, bool lead)
    {
        Thread.Sleep(s_settle);
        if (lead)
        {
            side(); // brings its data back into the caches and its threads out of sleep
        }

        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < runs; i++)
        {
            side();
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds / runs;
    }
}
