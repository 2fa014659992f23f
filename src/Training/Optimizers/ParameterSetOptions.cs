namespace Graft.Training.Optimizers;

/// <summary>What becomes of optimizer state when the trained parameters change.</summary>
public enum StatePolicy
{
    /// <summary>State of what becomes frozen goes; what stays trained keeps its own.</summary>
    Drop,

    /// <summary>All state is kept and waits for its parameter to be trained again.</summary>
    Keep,

    /// <summary>All state starts anew, also of what stays trained.</summary>
    Reset,
}

/// <summary>Where the F32 values of trained parameters lie.</summary>
public enum ValueLayout
{
    /// <summary>In one block: one pass of the optimizer over all of them. What they left is given back to its arena.</summary>
    Flat,

    /// <summary>Where they are: no second copy while the set is made; for full-parameter training.</summary>
    InPlace,
}

/// <summary>How a <see cref="ParameterSet"/> is laid out.</summary>
public sealed record ParameterSetOptions
{
    /// <summary>Where values lie. A parameter that is moved must have had memory of its own.</summary>
    public ValueLayout Layout { get; init; } = ValueLayout.Flat;

    /// <summary>Groups with treatment of their own, the first that selects a parameter has it; the others are <see cref="ParameterGroup.Rest"/>.</summary>
    public IReadOnlyList<ParameterGroup> Groups { get; init; } = [];
}
