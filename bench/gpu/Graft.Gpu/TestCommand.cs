using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Graft.Gpu;

/// <summary>`graft-gpu tests`: runs tests in child processes until each has ended one way or the other, and sums up.</summary>
/// <remarks>A fault of a kernel poisons the card's context for its whole process, and a kernel that never ends hangs it: neither may take the other tests with it.</remarks>
internal static class TestCommand
{
    private const int MaxProcesses = 25;
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    public static int Run(string[] args)
    {
        TestOptions options = TestOptions.Parse(args);
        _ = Directory.CreateDirectory(options.Folder);
        File.Delete(options.Journal);
        long begun = Stopwatch.GetTimestamp();
        string ending = "complete";
        int processes = 0;
        for (bool again = true; again;)
        {
            double left = options.Seconds - Stopwatch.GetElapsedTime(begun).TotalSeconds;
            int before = Progress(options);
            (string? problem, bool late) = RunChild(options, left);
            processes++;
            again = problem is not null && !late;
            if (problem is not null && !late && !Blame(options, problem) && Progress(options) == before)
            {
                (ending, again) = ($"no test could be run: {problem}", false); // and a further process would fare no better
            }

            if (late)
            {
                ending = $"stopped after {options.Seconds} s";
            }
            else if (again && processes == MaxProcesses)
            {
                (ending, again) = ($"given up after {MaxProcesses} processes that faulted", false);
            }

            Sum(options, ending, processes, Stopwatch.GetElapsedTime(begun));
        }

        return Sum(options, ending, processes, Stopwatch.GetElapsedTime(begun), print: true);
    }

    private static int Progress(TestOptions options)
    {
        (List<TestEnd> ended, _, List<string> again) = TestJournal.Read(options.Journal);
        return ended.Count + again.Count;
    }

    /// <summary>Null where the process ended in order; else why not, and whether the time was up.</summary>
    private static (string? Problem, bool Late) RunChild(TestOptions options, double seconds)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!);
        if (Path.GetFileNameWithoutExtension(start.FileName) == "dotnet")
        {
            start.ArgumentList.Add(typeof(TestCommand).Assembly.Location);
        }

        start.ArgumentList.Add(TestChild.Verb);
        foreach (string argument in options.ToArguments())
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        long begun = Stopwatch.GetTimestamp(), active = begun, size = -1;
        while (!process.WaitForExit(100))
        {
            FileInfo journal = new(options.Journal);
            if (journal.Exists && journal.Length != size)
            {
                (size, active) = (journal.Length, Stopwatch.GetTimestamp());
            }

            bool late = Stopwatch.GetElapsedTime(begun).TotalSeconds > seconds;
            if (late || Stopwatch.GetElapsedTime(active).TotalSeconds > options.Idle)
            {
                process.Kill(entireProcessTree: true);
                process.WaitForExit();
                return (late ? "the time was up" : $"nothing happened for {options.Idle} s", late);
            }
        }

        return (process.ExitCode switch
        {
            0 => null,
            TestChild.Poisoned => "the card's context is lost",
            int code => $"the process ended with code {code}",
        }, false);
    }

    /// <summary>Writes the tests that were under way as faulted into the journal; false where there were none.</summary>
    private static bool Blame(TestOptions options, string problem)
    {
        List<string> open = TestJournal.Read(options.Journal).Open;
        using StreamWriter journal = TestJournal.Open(options.Journal);
        foreach (string name in open)
        {
            TestJournal.End(journal, new TestEnd(name, "Faulted", 0, problem));
        }

        return open.Count > 0;
    }

    private static int Sum(TestOptions options, string ending, int processes, TimeSpan time, bool print = false)
    {
        List<TestEnd> ended = TestJournal.Read(options.Journal).Ended;
        TestEnd[] failures = [.. ended.Where(e => e.Outcome is not ("Passed" or "Skipped" or "Ignored" or "Explicit" or "Inconclusive"))];
        int Count(params string[] outcomes) => ended.Count(e => outcomes.Contains(e.Outcome));
        JsonObject byFixture = [];
        foreach (IGrouping<string, TestEnd> group in ended.GroupBy(e => Fixture(e.Name)).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            byFixture[group.Key] = string.Create(
                CultureInfo.InvariantCulture, $"{group.Count(e => e.Outcome == "Passed")} of {group.Count()} passed, {group.Sum(e => e.Seconds):F1} s");
        }

        JsonObject summary = new()
        {
            ["ending"] = ending,
            ["total"] = ended.Count,
            ["passed"] = Count("Passed"),
            ["failed"] = failures.Length,
            ["skipped"] = Count("Skipped", "Ignored", "Explicit", "Inconclusive"),
            ["processes"] = processes,
            ["seconds"] = Math.Round(time.TotalSeconds, 1),
            ["fixtures"] = byFixture,
            ["skips"] = new JsonArray([.. ended.Where(e => e.Outcome is "Skipped" or "Ignored").GroupBy(e => e.Message).Select(g => (JsonNode)$"{g.Count()} x {g.Key}")]),
            ["failures"] = new JsonArray([.. failures.Select(f => (JsonNode)new JsonObject { ["test"] = f.Name, ["outcome"] = f.Outcome, ["message"] = f.Message })]),
        };
        File.WriteAllText(options.Summary, summary.ToJsonString(s_indented) + "\n");
        if (print)
        {
            foreach (TestEnd failure in failures.Take(40))
            {
                Console.WriteLine($"{failure.Outcome}: {failure.Name}\n    {failure.Message.ReplaceLineEndings("\n    ")}");
            }

            Console.WriteLine($"tests: {summary["total"]} run, {summary["passed"]} passed, {summary["failed"]} failed, {summary["skipped"]} skipped, {summary["seconds"]} s, {ending}");
        }

        return failures.Length > 0 || ending != "complete" || ended.Count == 0 ? 1 : 0;
    }

    private static string Fixture(string test)
    {
        int end = test.IndexOf('(', StringComparison.Ordinal);
        string name = end < 0 ? test : test[..end];
        int dot = name.LastIndexOf('.');
        return dot < 0 ? name : name[..dot];
    }
}
