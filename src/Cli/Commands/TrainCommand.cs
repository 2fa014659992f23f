using System.CommandLine;
using System.Diagnostics;
using Graft.Cli.Output;
using Graft.Models.Checkpoints;
using Graft.Runtime;
using Graft.Training;
using Graft.Training.Runs;

namespace Graft.Cli.Commands;

/// <summary>`graft train`: runs a run file and writes adapter, curve and report into its output folder.</summary>
internal static class TrainCommand
{
    public static Command Create(ToolConsole console)
    {
        Argument<string> file = CommonOptions.RunFile();
        Option<string[]> set = CommonOptions.Set();
        Option<string?> device = CommonOptions.Device();
        Option<bool> json = CommonOptions.Json();
        Option<bool> resume = new("--resume") { Description = "Goes on from the newest checkpoint in the output folder; without it the run starts anew." };
        Option<bool> profile = new("--profile") { Description = "Shows where the time of a few steps goes, op by op, and writes trace.json for chrome://tracing." };
        Command command = new("train", "Fine-tunes a model as a run file says.") { file, set, device, json, resume, profile };
        command.SetAction((parsed, cancellation) => Run(
            console,
            RunFile.Load(parsed.GetRequiredValue(file), CommonOptions.Overrides(parsed.GetValue(set), parsed.GetValue(device))),
            parsed.GetValue(json),
            new RunSessionOptions { Resume = parsed.GetValue(resume), Profile = parsed.GetValue(profile) ? new StepProfileOptions() : null },
            cancellation));
        return command;
    }

    private static async Task<int> Run(ToolConsole console, RunFile run, bool json, RunSessionOptions options, CancellationToken cancellation)
    {
        long started = Stopwatch.GetTimestamp();
        ITrainView view = json ? new JsonTrainView(console.Out) : new TextTrainView(console, run.Training.LogEvery);
        TrainReport report = new();
        void Warn(string message)
        {
            report.Notices.Add(message);
            view.Notice(message);
        }

        using RunSession session = RunSession.Open(run, options with { Warning = Warn }, cancellation);
        report.Device = session.Device.Name;
        try
        {
            view.Opened(session);
            await Train(session, view, report, options.Resume, cancellation).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            string? checkpoint = session.Trainer.State.GlobalStep > 0 && session.Trainer.Program is not null ? session.Trainer.Save() : null;
            view.Cancelled(session.Trainer.State.GlobalStep, checkpoint);
            return ExitCode.Cancelled;
        }

        report.Seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        report.Deliver(run, session.Trainer.State);
        session.SaveResults();
        Curve curve = Curve.Of(session.Trainer.State);
        WriteCurve(run, curve, report, view);
        report.Seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        report.Save(run);
        WriteProfile(session, report.Profile, view);
        view.Finished(report, curve, run.Output.Path);
        return ExitCode.Ok;
    }

    private static async Task Train(RunSession session, ITrainView view, TrainReport report, bool resume, CancellationToken cancellation)
    {
        report.AllElements = session.Model.Model.Parameters.Sum(p => p.Shape.Count);

        // What is resumed has been trained already: its generations would not be those before training.
        if (!resume || !Directory.Exists(session.CheckpointFolder))
        {
            await Generate(session, "before", report.Before, view, cancellation).ConfigureAwait(false);
        }

        await view.Around(session, async () =>
        {
            await foreach (TrainingEvent e in session.Trainer.RunAsync(cancellation).ConfigureAwait(false))
            {
                report.Add(e, session.Trainer.State);
                view.Event(e);
            }
        }).ConfigureAwait(false);
        await Generate(session, "after", report.After, view, cancellation).ConfigureAwait(false);
    }

    private static Task Generate(RunSession session, string phase, List<RunSample> samples, ITrainView view, CancellationToken cancellation) => Task.Run(
        () =>
        {
            foreach (RunSample sample in session.Generate(cancellation))
            {
                samples.Add(sample);
                view.Sample(phase, sample);
            }
        },
        CancellationToken.None);

    private static void WriteProfile(RunSession session, ProfileReport report, ITrainView view)
    {
        if (session.Trainer.Profile is { } profile)
        {
            string trace = Path.Combine(session.Run.Output.Path, "trace.json");
            AtomicFile.Write(trace, stream => ChromeTrace.Write(profile, stream));
            view.Profiled(report, trace);
            if (profile.SpansLeftOut > 0)
            {
                view.Notice($"{trace} holds the first {profile.Spans.Length} spans; {profile.SpansLeftOut} found no room and are in the table alone");
            }
        }
    }

    private static void WriteCurve(RunFile run, Curve curve, TrainReport report, ITrainView view)
    {
        if (curve.IsEmpty)
        {
            return;
        }

        string title = $"{Path.GetFileName(run.Model.Path)}, {run.Adapter?.Method ?? "all weights"}";
        AtomicFile.WriteText(Path.Combine(run.Output.Path, "curve.svg"), CurveSvg.Render(curve, title));
        if (CurvePng.Write(curve, title, Path.Combine(run.Output.Path, "curve.png")) is { } reason)
        {
            string notice = $"no curve.png, curve.svg only: {reason}";
            report.Notices.Add(notice);
            view.Notice(notice);
        }
    }
}
