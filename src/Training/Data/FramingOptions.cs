using System.Globalization;

namespace Graft.Training.Data;

/// <summary>What becomes of a sample with more tokens than allowed.</summary>
public enum LongSamplePolicy
{
    /// <summary>Tokens without loss go from the front first, then tokens from the end: the completion is kept as long as possible.</summary>
    Truncate,

    /// <summary>The sample is left out and counted.</summary>
    Drop,

    /// <summary>The sample is an error that names its line.</summary>
    Error,
}

/// <summary>How samples become token sequences.</summary>
public sealed record FramingOptions
{
    /// <summary>The format of prompt and completion, see <see cref="Data.PromptFormat"/>; plain text is not framed.</summary>
    public string PromptFormat { get; init; } = Data.PromptFormat.Plain;

    /// <summary>Put the begin-of-sequence token first, unless it is there.</summary>
    public bool AddBos { get; init; }

    /// <summary>Put the end-of-sequence token last, unless it is there; it carries loss.</summary>
    public bool AppendEos { get; init; } = true;

    /// <summary>The most tokens of a sample; 0 for no limit.</summary>
    public int MaxLength { get; init; }

    /// <summary>What becomes of longer samples.</summary>
    public LongSamplePolicy LongSamples { get; init; } = LongSamplePolicy.Truncate;

    /// <summary>Let texts of special tokens inside the data become those tokens. Off: data cannot forge turns of a conversation.</summary>
    public bool AllowSpecialTokens { get; init; }

    /// <summary>Every option as text, for the key of cached data.</summary>
    internal string Canonical()
    {
        return string.Create(
            CultureInfo.InvariantCulture,
            $"bos={AddBos};eos={AppendEos};max={MaxLength};long={LongSamples};special={AllowSpecialTokens};format={PromptFormat}");
    }
}
