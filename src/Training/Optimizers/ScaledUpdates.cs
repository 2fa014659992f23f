using System.Numerics.Tensors;
using Graft.Runtime;
using Tensor = Graft.Runtime.Tensor;

namespace Graft.Training.Optimizers;

/// <summary>Updates that are multiplied row by row: p ← p₀ + s · (p − p₀), s of each row by the values before the update.</summary>
internal sealed class ScaledUpdates
{
    private readonly List<(ParameterEntry Entry, Tensor Scale, Tensor Before)> _kept = [];

    /// <summary>Works out the factors and keeps the values, in the innermost scope of the arena.</summary>
    public void Begin(ParameterSet set, Arena workspace)
    {
        _kept.Clear();
        Tape? tape = null;
        foreach (ParameterEntry entry in set.Active)
        {
            if (entry.UpdateScale is { } scale && entry.Parameter.HasGradient)
            {
                Tensor factors = scale(tape ??= Tape.None(workspace));
                if (factors.Shape.Count != entry.Parameter.Shape[0])
                {
                    throw new ShapeException($"{entry}: {factors.Spec} factors were given for the updates of {entry.Parameter.Shape[0]} rows.");
                }

                Tensor before = workspace.Allocate(entry.Parameter.Shape, DType.F32, MemoryCategory.Workspace);
                before.CopyFrom(entry.Values);
                _kept.Add((entry, factors, before));
            }
        }
    }

    /// <summary>Scales what the update did.</summary>
    public void End()
    {
        foreach ((ParameterEntry entry, Tensor scale, Tensor before) in _kept)
        {
            int width = (int)(entry.Count / Math.Max(1, entry.Parameter.Shape[0]));
            if (entry.Values.Device.IsHost)
            {
                Scale(entry.Values.AsSpan<float>(), before.AsReadOnlySpan<float>(), scale.AsReadOnlySpan<float>(), width);
            }
            else if (entry.Values.Device.Computes)
            {
                float[] values = entry.Values.ToArray<float>();
                Scale(values, before.OnHost<float>(), scale.OnHost<float>(), width);
                entry.Values.CopyFrom<float>(values);
            }

            if (entry.Master is { } master)
            {
                Numerics.LowPrecision.Narrow(master, entry.Parameter.Value);
            }
        }

        _kept.Clear();
    }
    private static void Scale(Span<float> values, ReadOnlySpan<float> before, ReadOnlySpan<float> factors, int width)
    {
        for (int row = 0; row < factors.Length; row++)
        {
            Span<float> now = values.Slice(row * width, width);
            ReadOnlySpan<float> then = before.Slice(row * width, width);
            TensorPrimitives.Subtract(now, then, now);
            TensorPrimitives.Multiply(now, factors[row], now);
            TensorPrimitives.Add(now, then, now);
        }
    }
}
