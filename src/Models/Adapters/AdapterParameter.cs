using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>What a tensor is to its method: optimizers give learning rates and weight decay by it.</summary>
public enum AdapterRole
{
    /// <summary>The factor that meets the input first (LoRA's A).</summary>
    Down,

    /// <summary>The factor that meets it last (LoRA's B, zero at the start); LoRA+ gives it a larger learning rate.</summary>
    Up,

    /// <summary>A small matrix between the two, or a block that is both.</summary>
    Core,

    /// <summary>Lengths of weight rows (DoRA's m).</summary>
    Magnitude,

    /// <summary>A scale per rank or channel (VeRA's d and λ, a gate).</summary>
    Gate,

    /// <summary>A bias.</summary>
    Bias,

    /// <summary>A frozen projection.</summary>
    Projection,

    /// <summary>A whole module of the base, trained as it is.</summary>
    Module,

    /// <summary>Rows of an embedding table.</summary>
    Tokens,
}

/// <summary>One tensor of an adapter: its name in files, the parameter, and what optimizers may want to know.</summary>
/// <param name="Key">The name on disk below the module (`lora_A.weight`), or below the model for shared tensors.</param>
/// <param name="Parameter">The tensor; `Parameter.Name` is `adapter/module.key`.</param>
/// <param name="Role">What it is to the method.</param>
public sealed record AdapterParameter(string Key, Parameter Parameter, AdapterRole Role)
{
    /// <summary>The adapted module's path; empty for tensors shared by all.</summary>
    public string Module { get; init; } = "";

    /// <summary>False where weight decay would pull towards something other than the base: magnitudes, gates, biases.</summary>
    public bool Decays => Role is AdapterRole.Down or AdapterRole.Up or AdapterRole.Core or AdapterRole.Module or AdapterRole.Tokens;

    /// <summary>A factor (rows) F32 for the optimizer's update of each row, computed before the update from the values that forward used; null for 1 (ALLoRA's
    /// mode by learning rate).</summary>
    public Func<Tape, Tensor>? UpdateScale { get; init; }

    /// <summary>The elements.</summary>
    public Tensor Value => Parameter.Value;
}
