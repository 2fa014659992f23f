using Graft.Training;
using Graft.Training.Runs;

namespace Graft.Cli.Output;

/// <summary>How a run is shown while it goes on.</summary>
internal interface ITrainView
{
    void Opened(RunSession session);

    void Notice(string message);

    /// <summary>Shows progress around the body, which reports events.</summary>
    Task Around(RunSession session, Func<Task> body);

    void Event(TrainingEvent e);

    void Sample(string phase, RunSample sample);

    void Profiled(ProfileReport profile, string trace);

    void Finished(TrainReport report, Curve curve, string output);

    void Cancelled(long step, string? checkpoint);
}

/// <summary>Lines of JSON.</summary>
internal sealed class JsonTrainView(TextWriter output) : ITrainView
{
    public void Opened(RunSession session)
    {
    }

    public void Notice(string message) => JsonLines.Write(output, "warning", json => json.WriteString("message", message));

    public Task Around(RunSession session, Func<Task> body) => body();

    public void Event(TrainingEvent e)
    {
        switch (e)
        {
            case TrainingStarted started:
                JsonLines.Write(output, "started", json =>
                {
                    json.WriteNumber("step", started.Step);
                    json.WriteNumber("total_steps", started.TotalSteps);
                    json.WriteNumber("trained_parameters", started.TrainedElements);
                    json.WriteString("resumed_from", started.ResumedFrom);
                });
                break;
            case StepCompleted step:
                JsonLines.Write(output, "step", json =>
                {
                    json.WriteNumber("step", step.Step);
                    json.Number("epoch", step.Epoch);
                    json.Number("loss", step.Result.Loss);
                    json.Number("learning_rate", step.Result.LearningRate);
                    json.Number("grad_norm", step.Result.GradientNorm);
                    json.WriteNumber("tokens", step.Result.Tokens);
                    json.Number("seconds", step.Seconds);
                    json.Number("tokens_per_second", step.TokensPerSecond);
                    json.WriteNumber("memory_bytes", step.Memory.Total + step.StepPeak.Total);
                });
                break;
            case EvaluationCompleted evaluation:
                JsonLines.Write(output, "evaluation", json =>
                {
                    json.WriteNumber("step", evaluation.Step);
                    json.Number("loss", evaluation.Result.Loss);
                    json.Number("perplexity", evaluation.Result.Perplexity);
                    json.Number("token_accuracy", evaluation.Result.TokenAccuracy);
                    json.Number("exact_match", evaluation.Result.ExactMatch);
                    json.WriteNumber("tokens", evaluation.Result.Tokens);
                    json.WriteBoolean("best", evaluation.IsBest);
                });
                break;
            case CheckpointSaved saved:
                JsonLines.Write(output, "checkpoint", json =>
                {
                    json.WriteNumber("step", saved.Step);
                    json.WriteString("path", saved.Path);
                });
                break;
            case TrainingWarning warning:
                Notice(warning.Message);
                break;
        }
    }

    public void Sample(string phase, RunSample sample) => JsonLines.Write(output, "sample", json =>
    {
        json.WriteString("phase", phase);
        json.WriteString("prompt", sample.Prompt);
        json.WriteString("expected", sample.Expected);
        json.WriteString("text", sample.Text);
    });

    public void Profiled(ProfileReport profile, string trace) => JsonLines.Write(output, "profile", json => profile.WriteFields(json, trace));

    public void Finished(TrainReport report, Curve curve, string folder) => JsonLines.Write(output, "finished", json => report.WriteFields(json, folder));

    public void Cancelled(long step, string? checkpoint) => JsonLines.Write(output, "cancelled", json =>
    {
        json.WriteNumber("step", step);
        json.WriteString("checkpoint", checkpoint);
    });
}
