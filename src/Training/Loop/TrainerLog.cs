using Microsoft.Extensions.Logging;

namespace Graft.Training;

/// <summary>The run in words.</summary>
internal static partial class TrainerLog
{
    [LoggerMessage(1, LogLevel.Information, "Run of {Total} steps begins at step {Step}: {Trained} of {All} elements are trained.")]
    public static partial void Started(ILogger logger, long total, long step, long trained, long all);

    [LoggerMessage(2, LogLevel.Debug, "Step {Step}: loss {Loss}, learning rate {Rate}, gradient norm {Norm}, {TokensPerSecond} tokens/s.")]
    public static partial void Step(ILogger logger, long step, double loss, double rate, double norm, double tokensPerSecond);

    [LoggerMessage(3, LogLevel.Information, "Evaluation at step {Step}: loss {Loss}, token accuracy {Accuracy}.")]
    public static partial void Evaluation(ILogger logger, long step, double loss, double accuracy);

    [LoggerMessage(4, LogLevel.Information, "Checkpoint of step {Step}: {Path}.")]
    public static partial void Saved(ILogger logger, long step, string path);

    [LoggerMessage(5, LogLevel.Warning, "Step {Step}: {Message}")]
    public static partial void Warning(ILogger logger, long step, string message);

    [LoggerMessage(6, LogLevel.Information, "Run ends at step {Step}: {Reason}.")]
    public static partial void Finished(ILogger logger, long step, FinishReason reason);
}
