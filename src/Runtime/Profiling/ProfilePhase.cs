namespace Graft.Runtime;

/// <summary>The part of a step that a span of time belongs to.</summary>
public enum ProfilePhase
{
    /// <summary>Ops as they are called.</summary>
    Forward,

    /// <summary>Gradients, with the ops that compute them.</summary>
    Backward,

    /// <summary>Ops of a checkpointed region, run again in backward.</summary>
    Recompute,

    /// <summary>What a step does around them: data, clipping, update, the launch of a recorded graph.</summary>
    Step,
}
