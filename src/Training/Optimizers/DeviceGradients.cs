using System.Runtime.InteropServices;
using Graft.Runtime;

namespace Graft.Training.Optimizers;

/// <summary>The gradients of a set on a CUDA device: worked on as ranges of their flat block, so that clipping a thousand parameters is a handful of launches.</summary>
internal static class DeviceGradients
{
    /// <summary>Runs of neighbours that all have a gradient; the padding between them is zero.</summary>
    public static IEnumerable<Tensor> Ranges(ParameterSet set)
    {
        IReadOnlyList<ParameterEntry> active = set.Active;
        for (int i = 0; i < active.Count; i++)
        {
            if (!active[i].Parameter.HasGradient)
            {
                continue;
            }

            int first = i;
            while (i + 1 < active.Count && active[i + 1].Parameter.HasGradient)
            {
                i++;
            }

            int count = active[i].Offset + (int)active[i].Count - active[first].Offset;
            if (count > 0)
            {
                yield return set.Gradients(active[first], count);
            }
        }
    }

    /// <summary>The sum of squares or magnitudes, or the largest magnitude, of all gradients; read once. On meta it only takes the memory.</summary>
    public static double Norm(ParameterSet set, NormOrder order)
    {
        using Scope scope = set.Arena.Enter("norm");
        Tensor sums = set.Arena.Allocate(new Shape(FlatKernels.NormElements), DType.F64, MemoryCategory.Workspace);
        if (set.Arena.Device is not CudaDevice device)
        {
            return 0;
        }

        FlatNorm flat = order switch
        {
            NormOrder.L2 => FlatNorm.SumOfSquares,
            NormOrder.L1 => FlatNorm.SumOfMagnitudes,
            _ => FlatNorm.LargestMagnitude,
        };
        bool accumulate = false;
        foreach (Tensor range in Ranges(set))
        {
            FlatKernels.Norm(device, range, flat, sums, accumulate);
            accumulate = true;
        }

        double total = 0;
        if (accumulate)
        {
            sums.CopyTo(MemoryMarshal.CreateSpan(ref total, 1));
        }

        return total;
    }
}
