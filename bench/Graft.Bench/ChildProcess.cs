using System.Diagnostics;
using System.Globalization;
using Graft.Bench.Peers;
using Graft.Bench.Works;

namespace Graft.Bench;

/// <summary>Resident bytes of a process.</summary>
/// <param name="Peak">The most at any time.</param>
/// <param name="Settled">Those at the end of its work, before anything was freed.</param>
internal readonly record struct ResidentMemory(long Peak, long Settled);

/// <summary>Resident memory of one side: a process of its own runs that side alone and reports.</summary>
internal static class ChildProcess
{
    /// <summary>The first argument of such a process.</summary>
    public const string Switch = "--side";

    private const string Answered = "resident bytes, peak and settled: ";

    private static long s_settled;

    /// <summary>Runs one side of a work elsewhere; its peak in bytes, null where that could not be found out.</summary>
    public static long? PeakBytes(IWork work, string side, bool quick) => Memory(work, side, quick)?.Peak;

    /// <summary>Called by a work in such a process when it has reached its steady state.</summary>
    public static void Settle() => s_settled = Resident("VmRSS:");

    /// <summary>Runs one side of a work elsewhere; its memory, null where that could not be found out.</summary>
    public static ResidentMemory? Memory(IWork work, string side, bool quick)
    {
        ProcessStartInfo? start = Self([Switch, work.Name, side, .. quick ? ["--quick"] : Array.Empty<string>()]);
        if (start is null)
        {
            return null;
        }

        start.RedirectStandardOutput = start.RedirectStandardError = true;
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromMinutes(10)))
        {
            process.Kill(entireProcessTree: true);
            return null;
        }

        foreach (string line in output.Result.Split('\n'))
        {
            if (line.StartsWith(Answered, StringComparison.Ordinal))
            {
                long[] bytes = [.. line[Answered.Length..].Split(' ').Select(b => long.Parse(b, CultureInfo.InvariantCulture))];
                return new ResidentMemory(bytes[0], bytes[1]);
            }
        }

        Console.Error.WriteLine($"{work.Name}, {side} alone: {errors.Result.Trim()}");
        return null;
    }

    /// <summary>Runs this program with other arguments; what it prints goes where this one's does. Its exit code.</summary>
    public static async Task<int> RunAsync(IEnumerable<string> arguments)
    {
        using Process process = Process.Start(Self(arguments) ?? throw new InvalidOperationException("the path of this program is not known, so that no work can have a process of its own; name one work at a time"))!;
        await process.WaitForExitAsync();
        return process.ExitCode;
    }

    /// <summary>Runs one side of a work here and says what it took.</summary>
    public static int Answer(IWork? work, string side, bool quick)
    {
        if (work is null)
        {
            return 2;
        }

        Torch.Prepare(side == "ours");
        if (side == "theirs" && !Torch.IsAvailable)
        {
            Console.Error.WriteLine(Torch.Reason);
            return 1;
        }

        work.RunOneSide(side == "ours", quick);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Answered}{Resident("VmHWM:")} {s_settled}"));
        return 0;
    }

    private static ProcessStartInfo? Self(IEnumerable<string> arguments)
    {
        if (Environment.ProcessPath is not { } program)
        {
            return null;
        }

        bool hosted = Path.GetFileNameWithoutExtension(program) == "dotnet";
        return new ProcessStartInfo(program, [.. hosted ? [typeof(ChildProcess).Assembly.Location] : Array.Empty<string>(), .. arguments]);
    }

    private static long Resident(string key)
    {
        if (File.Exists("/proc/self/status"))
        {
            string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith(key, StringComparison.Ordinal));
            return 1024 * long.Parse(
                line.AsSpan(key.Length, line.Length - key.Length - " kB".Length), NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture);
        }

        using Process self = Process.GetCurrentProcess();
        return key == "VmHWM:" ? self.PeakWorkingSet64 : self.WorkingSet64;
    }
}
