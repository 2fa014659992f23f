using System.Numerics.Tensors;
using Graft.Runtime;
using Graft.Training.Numerics;

namespace Graft.Training.Optimizers;

/// <summary>A range of the flat blocks: the rule, then frozen elements put back, then the 16-bit copy.</summary>
internal unsafe struct UpdateWork : IFlatWork
{
    private const int Piece = 2048; // frozen elements are kept on the stack meanwhile: 8 KiB

    public required IUpdateRule Rule;
    public FlatAddress<float> Parameter;
    public FlatAddress<float> Gradient;
    public FlatAddress<byte> Frozen;
    public FlatAddress<BFloat16> LowBFloat16;
    public FlatAddress<Half> LowHalf;
    public SlotAddresses Slots;
    public int SlotCount;
    public double LearningRate;
    public double WeightDecay;
    public long Step;
    public float GradientScale = 1;

    public UpdateWork()
    {
    }

    /// <summary>The whole of a range on a device that the host cannot reach in place: by the rule's kernels where it brings some, else through host memory.</summary>
    public readonly void UpdateOnDevice(in FlatRange range)
    {
        if (range.Frozen is null && Rule is IDeviceUpdateRule kernels)
        {
            DeviceUpdate update = new(range.Parameter, range.Gradient, range.Slots) { LearningRate = LearningRate, WeightDecay = WeightDecay, Step = Step };
            if (kernels.TryUpdate(update))
            {
                return;
            }
        }

        HostStage.Update(this, range);
    }

    public readonly void Invoke(int start, int count)
    {
        if (Frozen.IsNull)
        {
            Update(start, count);
        }
        else
        {
            for (int at = start; at < start + count; at += Piece)
            {
                UpdateAround(at, Math.Min(Piece, start + count - at));
            }
        }

        Span<float> updated = Parameter.Span(start, count);
        if (!LowBFloat16.IsNull)
        {
            LowPrecision.Narrow(updated, LowBFloat16.Span(start, count));
        }
        else if (!LowHalf.IsNull)
        {
            TensorPrimitives.ConvertToHalf(updated, LowHalf.Span(start, count));
        }
    }

    private readonly void Update(int start, int count)
    {
        Rule.Update(new UpdateCall(Parameter.Span(start, count), Gradient.Span(start, count), Slots, SlotCount, start)
        {
            LearningRate = LearningRate,
            WeightDecay = WeightDecay,
            Step = Step,
            GradientScale = GradientScale,
        });
    }

    private readonly void UpdateAround(int start, int count)
    {
        Span<float> before = stackalloc float[Piece];
        Span<float> parameter = Parameter.Span(start, count);
        ReadOnlySpan<byte> frozen = Frozen.Span(start, count);
        parameter.CopyTo(before);
        Update(start, count);
        for (int i = 0; i < count; i++)
        {
            if (frozen[i] != 0)
            {
                parameter[i] = before[i];
                for (int slot = 0; slot < SlotCount; slot++)
                {
                    ((float*)Slots[slot])[start + i] = 0;
                }
            }
        }
    }
}
