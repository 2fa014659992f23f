using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Graft.Training;

/// <summary>Instruments of all runs of the process, for `dotnet-counters`, OpenTelemetry and the like. Names are listed in docs/training.md.</summary>
public static class TrainingMeters
{
    /// <summary>The name of the meter and of the activity source.</summary>
    public const string Name = "Graft.Training";

    private static readonly Meter s_meter = new(Name);
    private static readonly Counter<long> s_steps = s_meter.CreateCounter<long>("graft.training.steps", "{step}", "Optimizer steps done.");
    private static readonly Counter<long> s_tokens = s_meter.CreateCounter<long>("graft.training.tokens", "{token}", "Tokens trained on, padding not counted.");
    private static readonly Histogram<double> s_seconds = s_meter.CreateHistogram<double>("graft.training.step.duration", "s", "Duration of optimizer steps.");
    private static readonly Gauge<double> s_loss = s_meter.CreateGauge<double>("graft.training.loss", description: "Loss of the last step.");
    private static readonly Gauge<double> s_norm = s_meter.CreateGauge<double>("graft.training.gradient_norm", description: "Global gradient norm of the " +
        "last step, before clipping.");
    private static readonly Gauge<double> s_rate = s_meter.CreateGauge<double>("graft.training.learning_rate", description: "Learning rate of the last step.");
    private static readonly Gauge<double> s_evaluation = s_meter.CreateGauge<double>("graft.evaluation.loss", description: "Loss of the last evaluation.");
    private static readonly Gauge<long> s_memory = s_meter.CreateGauge<long>("graft.training.memory", "By", "Bytes held between steps and at the step's peak " +
        "together.");

    internal static ActivitySource Activities { get; } = new(Name);

    internal static void Record(StepCompleted step)
    {
        s_steps.Add(1);
        s_tokens.Add(step.Result.Tokens);
        s_seconds.Record(step.Seconds);
        s_loss.Record(step.Result.Loss);
        s_norm.Record(step.Result.GradientNorm);
        s_rate.Record(step.Result.LearningRate);
        s_memory.Record(step.Memory.Total + step.StepPeak.Total);
    }

    internal static void Record(EvaluationResult result) => s_evaluation.Record(result.Loss);
}
