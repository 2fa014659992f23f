namespace Graft.Runtime;

/// <summary>What is fixed for an op.</summary>
/// <param name="Name">Snake case, as in kernels, messages and docs/ops.md.</param>
/// <param name="Inputs">The least number of inputs; ops may take optional ones behind.</param>
/// <param name="Source">Paper or definition.</param>
/// <param name="Recompute">True where running it again in backward is cheaper than keeping its result.</param>
public sealed record OpInfo(string Name, int Inputs, string Source = "", bool Recompute = false);

/// <summary>Which inputs of an op need a gradient.</summary>
public readonly record struct Needs(uint Mask)
{
    /// <summary>True where input <paramref name="i"/> needs a gradient.</summary>
    public bool this[int i] => (Mask >> i & 1) != 0;

    /// <summary>True where any input needs one.</summary>
    public bool Any => Mask != 0;
}

/// <summary>What a node keeps for its backward; everything else may go back to the arena at once.</summary>
/// <param name="Inputs">One bit per input.</param>
/// <param name="Outputs">One bit per output.</param>
/// <param name="Saved">One bit per tensor declared by <see cref="InferCall.Save"/>.</param>
public readonly record struct Saves(uint Inputs, uint Outputs, uint Saved)
{
    /// <summary>All inputs, outputs and saved tensors.</summary>
    public static Saves Everything => new(~0u, ~0u, ~0u);

    /// <summary>Nothing: the backward needs the output's gradient alone.</summary>
    public static Saves Nothing => default;

    /// <summary>These inputs besides.</summary>
    public Saves Input(int i, bool when = true) => when ? this with { Inputs = Inputs | 1u << i } : this;

    /// <summary>This output besides.</summary>
    public Saves Output(int i = 0, bool when = true) => when ? this with { Outputs = Outputs | 1u << i } : this;

    /// <summary>This saved tensor besides.</summary>
    public Saves Extra(int i = 0, bool when = true) => when ? this with { Saved = Saved | 1u << i } : this;
}
