using Graft.Training;
using Graft.Training.Runs;
using Spectre.Console;

namespace Graft.Cli.Output;

/// <summary>For people: a progress bar in a terminal, plain lines where the output is redirected.</summary>
internal sealed class TextTrainView(ToolConsole console, long logEvery) : ITrainView
{
    private ProgressTask? _bar;
    private double _meanSeconds;

    public void Opened(RunSession session)
    {
        RunFile run = session.Run;
        string what = run.Adapter is { } a ? $"{a.Method}, rank {a.Rank}, on {session.Adapter!.Modules.Count} modules" : "every weight";
        console.Out.WriteLine($"{Path.GetFileName(run.Model.Path)} on {session.Device.Name}: {what}; {session.Train.Count} samples, "
            + $"{session.TotalSteps} steps of {run.Training.GradientAccumulationSteps} x {run.Training.BatchSize} x {run.Training.SequenceLength} tokens");
    }

    public void Notice(string message)
    {
        if (_bar is null)
        {
            console.Out.WriteLine($"note: {message}");
        }
        else
        {
            AnsiConsole.MarkupLineInterpolated($"note: {message}");
        }
    }

    public async Task Around(RunSession session, Func<Task> body)
    {
        if (!console.IsInteractive)
        {
            await body().ConfigureAwait(false);
            return;
        }

        Progress progress = AnsiConsole.Progress().Columns(new ProgressBarColumn(), new PercentageColumn(), new TaskDescriptionColumn());
        await progress.StartAsync(async context =>
        {
            _bar = context.AddTask("evaluating", maxValue: session.TotalSteps);
            await body().ConfigureAwait(false);
        }).ConfigureAwait(false);
        _bar = null;
    }

    public void Event(TrainingEvent e)
    {
        switch (e)
        {
            case TrainingStarted { ResumedFrom: { } from } resumed:
                Line($"goes on after step {resumed.Step}, from {from}");
                _bar?.Increment(resumed.Step);
                break;
            case StepCompleted step:
                Step(step);
                break;
            case EvaluationCompleted evaluation:
                Line($"step {evaluation.Step}: held-out loss {Words.Number(evaluation.Result.Loss)}, "
                    + $"perplexity {Words.Number(evaluation.Result.Perplexity, "0.000")}, "
                    + $"token accuracy {Words.Number(evaluation.Result.TokenAccuracy, "0.000")}");
                break;
            case TrainingWarning warning:
                Notice(warning.Message);
                break;
        }
    }

    public void Sample(string phase, RunSample sample)
    {
        console.Out.WriteLine($"[{phase}] {OneLine(sample.Prompt)}");
        console.Out.WriteLine($"  data:  {OneLine(sample.Expected)}");
        console.Out.WriteLine($"  model: {OneLine(sample.Text)}");
    }

    public void Profiled(ProfileReport profile, string trace)
    {
        double milliseconds = 1000 * profile.Seconds / profile.Steps;
        console.Out.WriteLine($"where the time of a step goes, mean of {profile.Steps} ({Words.Number(milliseconds, "0.0")} ms each), spans in {trace}:");
        console.Out.WriteLine(profile.Table());
    }

    public void Finished(TrainReport report, Curve curve, string output)
    {
        if (!curve.IsEmpty)
        {
            console.Out.WriteLine(CurveText.Render(curve));
        }

        if (report.PerplexityBefore is { } before && report.PerplexityAfter is { } after)
        {
            console.Out.WriteLine($"held-out perplexity: {Words.Number(before, "0.000")} before, {Words.Number(after, "0.000")} after");
        }

        console.Out.WriteLine($"{report.Steps} steps in {Words.Duration(report.Seconds)} in all; {Words.Number(report.TokensPerSecond, "0")} tokens/s; "
            + $"arenas {Words.Bytes(report.PeakBytes)}, process {Words.Bytes(TrainReport.ResidentBytes())} at their peak");
        console.Out.WriteLine($"results: {output}");
    }

    public void Cancelled(long step, string? checkpoint)
    {
        console.Out.WriteLine(checkpoint is null ? $"cancelled after step {step}; nothing to save yet"
            : $"cancelled after step {step}; saved: {checkpoint} (--resume goes on from there)");
    }

    private void Step(StepCompleted step)
    {
        // A running mean over about ten steps: the first one is slow while code is compiled.
        _meanSeconds = _meanSeconds == 0 ? step.Seconds : (0.9 * _meanSeconds) + (0.1 * step.Seconds);
        string figures = $"loss {Words.Number(step.Result.Loss, "0.000")}, {Words.Number(step.TokensPerSecond, "0")} tokens/s, "
            + $"{Words.Bytes(step.Memory.Total + step.StepPeak.Total)}";
        if (_bar is not null)
        {
            double left = (_bar.MaxValue - step.Step) * _meanSeconds;
            _bar.Description = Markup.Escape($"step {step.Step}: {figures}, {Words.Duration(left)} left");
            _bar.Value = step.Step;
        }
        else if (step.Step % logEvery == 0)
        {
            console.Out.WriteLine($"step {step.Step}: {figures}");
        }
    }

    private void Line(string text)
    {
        if (_bar is null)
        {
            console.Out.WriteLine(text);
        }
        else
        {
            AnsiConsole.MarkupLineInterpolated($"{text}");
        }
    }

    private static string OneLine(string text) => text.ReplaceLineEndings(" ").Trim();
}
