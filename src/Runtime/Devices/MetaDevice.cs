namespace Graft.Runtime;

/// <summary>Runs shape rules and the arenas' bookkeeping only: a training step on it answers how much memory the step needs, before anything is allocated.</summary>
public sealed class MetaDevice : Device
{
    /// <summary>A meta device.</summary>
    /// <param name="plans">The device whose memory is planned: ops need other workspace on another device.</param>
    public MetaDevice(DeviceKind plans = DeviceKind.Cpu)
        : base(DeviceKind.Meta, "meta")
    {
        if (plans == DeviceKind.Meta)
        {
            throw new ArgumentException("A meta device plans for a CPU or a CUDA device.", nameof(plans));
        }

        Plans = plans;
    }

    /// <inheritdoc/>
    public override DeviceKind Plans { get; }

    internal override nint AllocateSlab(long bytes) => 0;

    internal override void FreeSlab(nint address, long bytes)
    {
    }

    internal override void Upload(ReadOnlySpan<byte> from, nint to)
    {
    }

    internal override void Download(nint from, Span<byte> to) => throw new GraftException("The meta device holds no elements that could be read.");

    internal override void Copy(nint from, nint to, long bytes)
    {
    }

    internal override void Fill(nint at, byte value, long bytes)
    {
    }

    internal override void AddInto(Tensor target, Tensor source)
    {
    }

    internal override void CastInto(Tensor target, Tensor source)
    {
    }

    internal override void FillWith(Tensor target, float value)
    {
    }
}
