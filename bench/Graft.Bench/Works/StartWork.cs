using System.Diagnostics;
using Graft.Bench.Report;

namespace Graft.Bench.Works;

/// <summary>Cold start: from starting the process of the published tool to the end of the sample's first training step.</summary>
internal sealed class StartWork : IWork
{
    private const int Starts = 7;
    private const int WarmUps = 2; // the file cache of a machine that has run the tool once

    /// <inheritdoc/>
    public string Name => "start";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        string root = BenchCommand.RepositoryRoot();
        foreach ((string kind, double limitMs) in new[] { ("ReadyToRun", 1500.0), ("native AOT", 500.0) })
        {
            string program = Path.Combine(root, "artifacts", "publish", kind == "ReadyToRun" ? "ready-to-run" : "native", "graft");
            if (!File.Exists(program))
            {
                Console.Error.WriteLine($"start: {kind} is left out, {program} is not there: dotnet cake --target=Publish makes it.");
                continue;
            }

            DirectoryInfo folder = Directory.CreateTempSubdirectory("graft-start");
            try
            {
                Times times = Measure(program, RunFile(root, folder.FullName), options.Quick ? 1 : Starts);
                yield return new BenchRow($"start: first training step, {kind}", "ms", 1e3 * times.Median)
                {
                    Peer = "the limit set",
                    Theirs = limitMs,
                    Target = 1,
                    OursSpread = times.Spread,
                    Rounds = times.Count,
                    Note = "graft train with the model, data and adapter of samples/e2e-nlg, 8 x 256 tokens; no evaluation or generation before the step",
                };
            }
            finally
            {
                folder.Delete(recursive: true);
            }
        }
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick) => throw new NotSupportedException("start: there is no side to run alone.");

    private static string RunFile(string root, string folder)
    {
        string file = Path.Combine(folder, "run.yaml");
        File.WriteAllText(file, $$"""
            model:
              path: {{root}}/samples/models/graft-tiny
              dtype: f32
            data:
              train: {{root}}/samples/e2e-nlg/train.jsonl
              prompt_format: "{prompt}{completion}"
              append_eos: true
              packing: first_fit_decreasing
            adapter:
              method: lora
              rank: 16
              alpha: 32
              targets: all-linear
            optimizer:
              name: adamw
              learning_rate: 2e-3
            training:
              steps: 100
              batch_size: 8
              sequence_length: 256
              log_every: 1
            output:
              path: {{folder}}/out
            """);
        return file;
    }

    private static Times Measure(string program, string runFile, int starts)
    {
        List<double> seconds = [];
        for (int i = 0; i < WarmUps + starts; i++)
        {
            double one = FirstStep(program, runFile);
            if (i >= WarmUps)
            {
                seconds.Add(one);
            }
        }

        return Times.Of(seconds);
    }

    private static double FirstStep(string program, string runFile)
    {
        ProcessStartInfo start = new(program, ["train", runFile, "--json"]) { RedirectStandardOutput = true };
        long begun = Stopwatch.GetTimestamp();
        using Process process = Process.Start(start)!;
        try
        {
            while (process.StandardOutput.ReadLine() is { } line)
            {
                if (line.StartsWith("""{"event":"step",""", StringComparison.Ordinal))
                {
                    return Stopwatch.GetElapsedTime(begun).TotalSeconds;
                }
            }
        }
        finally
        {
            process.Kill();
            process.WaitForExit();
        }

        throw new InvalidOperationException($"start: {program} ended before its first step.");
    }
}
