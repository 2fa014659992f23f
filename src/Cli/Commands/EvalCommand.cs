using System.CommandLine;
using System.Diagnostics;
using Graft.Cli.Output;
using Graft.Runtime;
using Graft.Training;
using Graft.Training.Data;
using Graft.Training.Runs;

namespace Graft.Cli.Commands;

/// <summary>`graft eval`: loss, perplexity and accuracies of a model, with or without adapters, on a data file.</summary>
internal static class EvalCommand
{
    public static Command Create(ToolConsole console)
    {
        Argument<string> target = CommonOptions.Target();
        Option<string?> data = new("--data") { Description = "Samples, JSON lines; the run file's data.eval if not given." };
        Option<string[]> adapters = CommonOptions.Adapters();
        Option<string[]> set = CommonOptions.Set();
        Option<long?> samples = new("--samples") { Description = "Measure on the first so many samples." };
        Option<string?> device = CommonOptions.Device();
        Option<bool> json = CommonOptions.Json();
        Command command = new("eval", "Measures loss and perplexity on held-out samples.") { target, data, adapters, set, samples, device, json };
        command.SetAction((parsed, cancellation) => Task.Run(
            () => Run(
                console,
                CommonOptions.Load(parsed.GetRequiredValue(target), parsed.GetValue(data), CommonOptions.Overrides(parsed.GetValue(set), parsed.GetValue(device))),
                parsed.GetValue(data),
                parsed.GetValue(adapters) ?? [],
                parsed.GetValue(samples),
                parsed.GetValue(json),
                cancellation),
            CancellationToken.None));
        return command;
    }

    private static int Run(ToolConsole console, RunFile run, string? data, string[] adapters, long? samples, bool json, CancellationToken cancellation)
    {
        string file = data ?? run.Data.Eval ?? throw new UsageException("there is no evaluation data: give --data, or set data.eval in the run file.");
        using Device device = console.Open(run.Training.Device, run.Training.Threads);
        using LoadedModel model = LoadedModel.Load(run.Model.Path, device, run.Model.DType, run.Model.Tokenizer, activations: run.Model.Activations);
        foreach (string adapter in adapters)
        {
            _ = model.AddAdapter(adapter);
        }

        using TokenizedDataset set = TokenizedDataset.Open(file, model.Encoder, run.Data.Dataset, cancellation);
        if (!json && set.Counts.Truncated > 0)
        {
            console.Error.WriteLine($"{set.Counts.Truncated} samples are longer than {run.Training.SequenceLength} tokens and were cut; "
                + "--set training.sequence_length=... takes them whole.");
        }

        BatchOptions batches = new()
        {
            Rows = run.Training.BatchSize,
            Length = run.Training.SequenceLength,
            Packing = run.Data.Packing,
            PadToken = model.Tokenizer?.PadId ?? 0,
        };
        using Arena arena = new(device, "evaluation");
        long started = Stopwatch.GetTimestamp();
        EvaluationResult result = model.Evaluator(set, batches, samples ?? run.Data.EvalSamples).Run(arena, cancellation);
        double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        if (json)
        {
            JsonLines.Write(console.Out, "evaluated", line =>
            {
                line.Number("loss", result.Loss);
                line.Number("perplexity", result.Perplexity);
                line.WriteNumber("tokens", result.Tokens);
                line.WriteNumber("samples", result.Samples);
                line.Number("token_accuracy", result.TokenAccuracy);
                line.Number("exact_match", result.ExactMatch);
                line.Number("seconds", seconds);
            });
        }
        else
        {
            console.Out.WriteLine($"loss {Words.Number(result.Loss)}, perplexity {Words.Number(result.Perplexity)}, "
                + $"token accuracy {Words.Number(result.TokenAccuracy)}, exact match {Words.Number(result.ExactMatch)}; "
                + $"{result.Tokens} tokens of {result.Samples} samples in {Words.Duration(seconds)}");
        }

        return ExitCode.Ok;
    }
}
