using System.Globalization;
using System.Text;
using System.Text.Json;
using Graft.Models.Checkpoints;
using Graft.Runtime;
using Graft.Training;
using Graft.Training.Runs;

namespace Graft.Cli.Output;

/// <summary>What is remembered of a run for its report.</summary>
internal sealed class TrainReport
{
    private double _stepSeconds;
    private long _tokens;

    public List<RunSample> Before { get; } = [];

    public List<RunSample> After { get; } = [];

    /// <summary>Where it ran: an emulated card is named as one.</summary>
    public string Device { get; set; } = "";

    public List<string> Notices { get; } = [];

    public ProfileReport Profile { get; } = new();

    public EvaluationResult? First { get; private set; }

    public EvaluationResult? Last { get; private set; }

    public long TrainedElements { get; private set; }

    public long AllElements { get; set; }

    public long Steps { get; private set; }

    public double? LastLoss { get; private set; }

    public bool EarlyStopped { get; private set; }

    /// <summary>Bytes of arenas at the most expensive moment of any step, by category: what `graft plan` foretells.</summary>
    public MemoryUse Persistent { get; private set; }

    public MemoryUse StepPeak { get; private set; }

    public long PeakBytes => Persistent.Total + StepPeak.Total;

    public double Seconds { get; set; }

    public double TokensPerSecond => _stepSeconds > 0 ? _tokens / _stepSeconds : 0;

    public double? PerplexityBefore { get; private set; }

    public double? PerplexityAfter { get; private set; }

    public void Add(TrainingEvent e, TrainerState state)
    {
        switch (e)
        {
            case TrainingStarted started:
                TrainedElements = started.TrainedElements;
                PerplexityBefore = state.History.FirstOrDefault(h => h.Step == 0 && h.Values.ContainsKey("eval_perplexity"))?.Values["eval_perplexity"];
                break;
            case StepCompleted step:
                _stepSeconds += step.Seconds;
                _tokens += step.Result.Tokens;
                Steps = step.Step;
                LastLoss = step.Result.Loss;
                if (step.Memory.Total + step.StepPeak.Total > PeakBytes)
                {
                    (Persistent, StepPeak) = (step.Memory, step.StepPeak);
                }

                break;
            case StepProfiled profiled:
                Profile.Add(profiled);
                break;
            case EvaluationCompleted evaluation:
                First ??= evaluation.Result;
                Last = evaluation.Result;
                PerplexityBefore ??= evaluation.Step == 0 ? evaluation.Result.Perplexity : null;
                break;
            case TrainingWarning warning:
                Notices.Add(warning.Message);
                break;
            case TrainingFinished finished:
                Steps = finished.Step;
                EarlyStopped = finished.Reason == FinishReason.EarlyStopped;
                break;
        }
    }

    /// <summary>The perplexity of the weights that are delivered: the best ones' where the run keeps those.</summary>
    public void Deliver(RunFile run, TrainerState state)
    {
        bool best = run.Training.KeepBest && run.Training.EvalEvery > 0 && state.BestMetric is not null;
        PerplexityAfter = best ? Math.Exp(state.BestMetric!.Value) : Last?.Perplexity
            ?? state.History.LastOrDefault(h => h.Values.ContainsKey("eval_perplexity"))?.Values["eval_perplexity"];
    }

    public void WriteFields(Utf8JsonWriter json, string output)
    {
        json.Number("perplexity_before", PerplexityBefore);
        json.Number("perplexity_after", PerplexityAfter);
        json.WriteNumber("seconds", Math.Round(Seconds, 3));
        json.WriteNumber("tokens_per_second", Math.Round(TokensPerSecond, 2));
        json.WriteNumber("peak_bytes", PeakBytes);
        json.WriteNumber("resident_bytes", ResidentBytes());
        json.WriteNumber("steps", Steps);
        json.WriteString("reason", EarlyStopped ? "early_stopped" : "completed");
        json.WriteString("output", output);
        json.WriteString("device", Device);
    }

    /// <summary>Writes `report.json` and `report.md`.</summary>
    public void Save(RunFile run)
    {
        string folder = run.Output.Path;
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            WriteFields(json, folder);
            json.WriteNumber("trained_parameters", TrainedElements);
            json.Number("last_loss", LastLoss);
            Samples(json, "before", Before);
            Samples(json, "after", After);
            json.WriteEndObject();
        }

        AtomicFile.WriteText(Path.Combine(folder, "report.json"), Encoding.UTF8.GetString(stream.ToArray()) + "\n");
        AtomicFile.WriteText(Path.Combine(folder, "report.md"), Markdown(run));
    }

    /// <summary>The most memory that the process held at once, as the system counts it.</summary>
    public static long ResidentBytes()
    {
        using System.Diagnostics.Process process = System.Diagnostics.Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }

    private static void Samples(Utf8JsonWriter json, string name, List<RunSample> samples)
    {
        json.WriteStartArray(name);
        foreach (RunSample sample in samples)
        {
            json.WriteStartObject();
            json.WriteString("prompt", sample.Prompt);
            json.WriteString("expected", sample.Expected);
            json.WriteString("text", sample.Text);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private string Markdown(RunFile run)
    {
        string shape = $"{run.Training.GradientAccumulationSteps} x {run.Training.BatchSize} x {run.Training.SequenceLength} tokens";
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"""
            # Report

            | | |
            |---|---|
            | model | {run.Model.Path} |
            | adapter | {(run.Adapter is { } a ? $"{a.Method}, rank {a.Rank}" : "none: every weight")} |
            | trained parameters | {Words.Count(TrainedElements)} of {Words.Count(AllElements)} |
            | device | {Device} |
            | steps | {Steps} of {shape}{(EarlyStopped ? ", stopped early" : "")} |
            | held-out perplexity before | {Perplexity(PerplexityBefore)} |
            | held-out perplexity after | {Perplexity(PerplexityAfter)} |
            | time | {Words.Duration(Seconds)}, {Words.Number(TokensPerSecond, "0")} tokens/s in steps |
            | memory of arenas at the peak of a step | {Words.Bytes(PeakBytes)} |
            | resident memory at its peak | {Words.Bytes(ResidentBytes())} |

            ![loss](curve.svg)


            """);
        foreach (string notice in Notices)
        {
            text.Append("- ").Append(notice).Append('\n');
        }

        for (int i = 0; i < After.Count; i++)
        {
            string before = i < Before.Count ? Before[i].Text : "";
            text.Append(CultureInfo.InvariantCulture, $"\n## {i + 1}. {Line(After[i].Prompt)}\n\n- data: {Line(After[i].Expected)}\n");
            text.Append(CultureInfo.InvariantCulture, $"- before: {Line(before)}\n- after: {Line(After[i].Text)}\n");
        }

        return text.ToString();
    }

    private static string Perplexity(double? value) => value is { } number ? Words.Number(number, "0.000") : "not measured";

    private static string Line(string text) => text.ReplaceLineEndings(" ").Trim();
}
