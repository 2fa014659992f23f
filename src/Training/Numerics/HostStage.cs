using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Training.Numerics;

/// <summary>Updates a flat block on a device that the host cannot reach in place: pieces go to host memory, the rule runs there as it does on the CPU, and what it
/// wrote goes back.</summary>
/// <remarks>The same bits as on the CPU. Takes 4 MiB of host memory for each of parameter, gradient and slots. Slow, but every rule has it.</remarks>
internal static class HostStage
{
    // A multiple of FlatWork.Grain, so that the rule sees the same ranges as on the CPU.
    private const int PieceElements = 32 * FlatWork.Grain;

    /// <summary>One update; <paramref name="work"/> holds the rule and the numbers, its addresses are set here.</summary>
    public static unsafe void Update(UpdateWork work, in FlatRange range)
    {
        int most = (int)Math.Min(PieceElements, range.Count);
        float[] parameter = Pinned<float>(most);
        float[] gradient = Pinned<float>(most);
        byte[] frozen = range.Frozen is null ? [] : Pinned<byte>(most);
        float[][] slots = [.. range.Slots.Select(_ => Pinned<float>(most))];
        work.Parameter = FlatAddress<float>.OfPinned(parameter);
        work.Gradient = FlatAddress<float>.OfPinned(gradient);
        work.Frozen = range.Frozen is null ? default : FlatAddress<byte>.OfPinned(frozen);
        for (int i = 0; i < slots.Length; i++)
        {
            work.Slots[i] = FlatAddress<float>.OfPinned(slots[i]).Value;
        }

        for (long start = 0; start < range.Count; start += most)
        {
            int count = (int)Math.Min(most, range.Count - start);
            range.Parameter.CopyTo(parameter.AsSpan(0, count), start);
            range.Gradient.CopyTo(gradient.AsSpan(0, count), start);
            range.Frozen?.CopyTo(frozen.AsSpan(0, count), start);
            for (int i = 0; i < slots.Length; i++)
            {
                range.Slots[i].CopyTo(slots[i].AsSpan(0, count), start);
            }

            UpdateWork piece = work;
            _ = Parallel.For(0, (count + FlatWork.Grain - 1) / FlatWork.Grain, chunk =>
            {
                int first = chunk * FlatWork.Grain;
                piece.Invoke(first, Math.Min(FlatWork.Grain, count - first));
            });
            range.Parameter.Write<float>(parameter.AsSpan(0, count), start);
            for (int i = 0; i < slots.Length; i++)
            {
                range.Slots[i].Write<float>(slots[i].AsSpan(0, count), start);
            }
        }
    }

    private static T[] Pinned<T>(int count)
        where T : unmanaged
    {
        return GC.AllocateUninitializedArray<T>(count, pinned: true);
    }
}

/// <summary>A range of the flat blocks as tensors of one axis: what one call of a rule updates.</summary>
/// <param name="Parameter">F32; written.</param>
/// <param name="Gradient">F32.</param>
/// <param name="Slots">F32; written.</param>
/// <param name="Frozen">Bytes, 1 where an element never changes; null for none.</param>
internal readonly record struct FlatRange(Tensor Parameter, Tensor Gradient, Tensor[] Slots, Tensor? Frozen)
{
    public long Count => Parameter.Shape.Count;
}
