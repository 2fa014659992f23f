using Graft.Runtime;

namespace Graft.Bench.Kernels.Plain;

/// <summary>Both sides of a row, each with a step memory of its own.</summary>
internal sealed class PlainPair : IDisposable
{
    private readonly Arena _inputs;
    private readonly Arena _today;
    private readonly Arena _plain;
    private readonly PlainRow.Sides _sides;

    /// <summary>Draws the inputs.</summary>
    public PlainPair(CpuDevice device, PlainRow row)
    {
        _inputs = new Arena(device, "inputs");
        _today = new Arena(device, "today");
        _plain = new Arena(device, "plain");
        _sides = row.Make(_inputs);
    }

    /// <summary>The most that a run of either side took.</summary>
    public (long Today, long Plain) PeakBytes => (_today.Report().Peak.Total, _plain.Report().Peak.Total);

    /// <summary>One run of today's kernel.</summary>
    public void Today() => Run(_today, _sides.Today, _ => 0);

    /// <summary>One run of the plain version.</summary>
    public void Plain() => Run(_plain, _sides.Plain, _ => 0);

    /// <summary>The largest distance of their results, in units of the largest element; infinite where there is a NaN. Runs each side once.</summary>
    public double Difference()
    {
        float[] today = Run(_today, _sides.Today, All), plain = Run(_plain, _sides.Plain, All);
        double apart = today.Length == plain.Length ? 0 : double.PositiveInfinity, largest = 0;
        foreach ((float a, float b) in today.Zip(plain))
        {
            double difference = Math.Abs((double)a - b);
            apart = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(apart, difference);
            largest = Math.Max(largest, Math.Abs(b));
        }

        return double.IsInfinity(apart) ? apart : apart / Math.Max(largest, float.Epsilon);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _sides.End?.Invoke();
        _plain.Dispose();
        _today.Dispose();
        _inputs.Dispose();
    }

    private static float[] All(Tensor[] results) => [.. results.SelectMany(r => r.ToArray<float>())];

    private static T Run<T>(Arena step, Func<Tape, Tensor[]> side, Func<Tensor[], T> read)
    {
        using Scope scope = step.Enter("plain");
        using Tape tape = new(step);
        return read(side(tape));
    }
}
