namespace Graft.Models.Adapters;

/// <summary>How the pair (A, B) of a LoRA starts.</summary>
public enum LoraInitialization
{
    /// <summary>A uniform in ±1/√in, B zero; on tables A zero, B normal.</summary>
    Default,

    /// <summary>A normal with deviation 1/R, B zero.</summary>
    Gaussian,

    /// <summary>Both uniform (PEFT's `false`): the adapter changes the output from the start.</summary>
    Random,

    /// <summary>By principal directions of the inputs; can be read, not drawn.</summary>
    Eva,

    /// <summary>By rotations; can be read, not drawn.</summary>
    Orthogonal,

    /// <summary>B of minor singular vectors and frozen; can be read, not drawn.</summary>
    Mica,
}

/// <summary>LoRA, Hu et al. 2021, arXiv:2106.09685; with rsLoRA's scaling, Kalajdzievski 2023, arXiv:2312.03732.</summary>
/// <remarks>LoRA+ (arXiv:2402.12354) is a matter of learning rates by <see cref="AdapterRole"/>: B, and everything of one axis, takes ratio · lr.</remarks>
public sealed record LoraConfig : AdapterConfig
{
    /// <summary>PEFT's defaults.</summary>
    public LoraConfig()
    {
        (Rank, Alpha) = (8, 8);
    }

    /// <summary>Scales by alpha / √R in place of alpha / R.</summary>
    public bool RankStabilized { get; init; }

    /// <summary>How A and B start.</summary>
    public LoraInitialization Initialization { get; init; }

    /// <summary>B has a trained bias (PEFT's `lora_bias`).</summary>
    public bool LoraBias { get; init; }
}
