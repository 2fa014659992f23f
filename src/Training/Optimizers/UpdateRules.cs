using Graft.Runtime;
using Graft.Training.Numerics;

namespace Graft.Training.Optimizers;

/// <summary>Element-wise rules on tensors of one's own: what a rule that projects or splits the gradient runs inside.</summary>
public static class UpdateRules
{
    /// <summary>One update of a block. On a block of zeros the result is the update itself, to be brought back to the parameter.</summary>
    /// <param name="rule">The rule.</param>
    /// <param name="block">F32; written.</param>
    /// <param name="gradient">F32, as many elements.</param>
    /// <param name="slots">The rule's slots, as many elements each; written.</param>
    /// <param name="learningRate">The rate.</param>
    /// <param name="weightDecay">The decay.</param>
    /// <param name="step">The number of this update, 1 for the first.</param>
    /// <exception cref="ShapeException">Another number of slots, or of elements.</exception>
    public static void Apply(
        IUpdateRule rule, Tensor block, Tensor gradient, ReadOnlySpan<Tensor> slots, double learningRate, double weightDecay, long step)
    {
        ArgumentNullException.ThrowIfNull(rule);
        ArgumentNullException.ThrowIfNull(block);
        ArgumentNullException.ThrowIfNull(gradient);
        if (slots.Length != rule.Slots || gradient.Shape.Count != block.Shape.Count)
        {
            throw new ShapeException($"{rule}: {slots.Length} slots and a gradient of {gradient.Spec} were given for {block.Spec}; {rule.Slots} slots are " +
                $"needed.");
        }

        foreach (Tensor slot in slots)
        {
            if (slot.Shape.Count != block.Shape.Count)
            {
                throw new ShapeException($"{rule}: a slot of {slot.Spec} was given for {block.Spec}.");
            }
        }

        if (!block.Device.Computes || block.Shape.Count == 0)
        {
            return;
        }

        UpdateWork work = new()
        {
            Rule = rule,
            SlotCount = rule.Slots,
            LearningRate = learningRate,
            WeightDecay = weightDecay,
            Step = step,
        };
        if (!block.Device.IsHost)
        {
            work.UpdateOnDevice(new FlatRange(block, gradient, slots.ToArray(), null));
            return;
        }

        work.Parameter = FlatAddress<float>.Of(block);
        work.Gradient = FlatAddress<float>.Of(gradient);
        for (int i = 0; i < slots.Length; i++)
        {
            work.Slots[i] = FlatAddress<float>.Of(slots[i]).Value;
        }

        FlatWork.Run(block.Device, (int)block.Shape.Count, work);
    }
}
