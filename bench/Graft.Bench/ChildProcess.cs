using System.Diagnostics;
using System.Globalization;
using Graft.Bench.Peers;
using Graft.Bench.Works;

namespace Graft.Bench;

/// <summary>Peak resident memory of one side: a process of its own runs that side alone and reports.</summary>
internal static class ChildProcess
{
    /// <summary>The first argument of such a process.</summary>
    public const string Switch = "--side";

    private const string Answered = "peak resident bytes: ";

    /// <summary>Runs one side of a work elsewhere; its peak in bytes, null where that could not be found out.</summary>
    public static long? PeakBytes(IWork work, string side, bool quick)
    {
        string? program = Environment.ProcessPath;
        if (program is null)
        {
            return null;
        }

        ProcessStartInfo start = new(program) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(program) == "dotnet")
        {
            start.ArgumentList.Add(typeof(ChildProcess).Assembly.Location);
        }

        foreach (string argument in (string[])[Switch, work.Name, side, .. quick ? ["--quick"] : Array.Empty<string>()])
        {
            start.ArgumentList.Add(argument);
        }

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
                return long.Parse(line.AsSpan(Answered.Length), CultureInfo.InvariantCulture);
            }
        }

        Console.Error.WriteLine($"{work.Name}, {side} alone: {errors.Result.Trim()}");
        return null;
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
        Console.WriteLine(Answered + Peak().ToString(CultureInfo.InvariantCulture));
        return 0;
    }

    private static long Peak()
    {
        const string Key = "VmHWM:";
        if (File.Exists("/proc/self/status"))
        {
            string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith(Key, StringComparison.Ordinal));
            return 1024 * long.Parse(
                line.AsSpan(Key.Length, line.Length - Key.Length - " kB".Length), NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture);
        }

        using Process self = Process.GetCurrentProcess();
        return self.PeakWorkingSet64;
    }
}
