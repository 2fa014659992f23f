namespace Graft.Runtime;

/// <summary>Runs shape rules and the arenas' bookkeeping only: a training step on it answers how much memory the step needs, before anything is allocated.</summary>
public sealed class MetaDevice : Device
{
    /// <summary>A meta device.</summary>
    public MetaDevice()
        : base(DeviceKind.Meta, "meta")
    {
    }

    internal override nint AllocateSlab(long bytes) => 0;

    internal override void FreeSlab(nint address, long bytes)
    {
    }
}
