namespace Graft.Training.Data;

/// <summary>One sample of a data file before it becomes tokens.</summary>
/// <param name="Line">The line it was read from, counted from 1.</param>
public abstract record DataSample(long Line);

/// <summary>Plain text: every token carries loss.</summary>
/// <param name="Text">The text.</param>
/// <param name="Line">The line it was read from, counted from 1.</param>
public sealed record TextSample(string Text, long Line = 0) : DataSample(Line);

/// <summary>A prompt and the completion to learn: only the completion carries loss.</summary>
/// <param name="Prompt">What the model is given.</param>
/// <param name="Completion">What it has to say.</param>
/// <param name="Line">The line it was read from, counted from 1.</param>
public sealed record PromptSample(string Prompt, string Completion, long Line = 0) : DataSample(Line);

/// <summary>What the lines of a data file hold.</summary>
public enum SampleFormat
{
    /// <summary>A prompt and a completion.</summary>
    PromptCompletion,

    /// <summary>One text.</summary>
    Text,
}

/// <summary>How lines of JSON are read.</summary>
public sealed record JsonlOptions
{
    /// <summary>What a line holds.</summary>
    public SampleFormat Format { get; init; } = SampleFormat.PromptCompletion;

    /// <summary>The field of the prompt.</summary>
    public string PromptField { get; init; } = "prompt";

    /// <summary>The field of the completion.</summary>
    public string CompletionField { get; init; } = "completion";

    /// <summary>The field of the text.</summary>
    public string TextField { get; init; } = "text";

    /// <summary>The longest line that is taken, in bytes: a guard against files that are no lines at all.</summary>
    public int MaxLineBytes { get; init; } = 16 << 20;
}
