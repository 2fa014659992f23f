using System.Globalization;
using System.Runtime.InteropServices;
using Graft.Bench.Peers;
using Graft.Bench.Report;
using Graft.Runtime;
using TorchSharp;

namespace Graft.Bench.Works;

/// <summary>Ops that memory limits, each direction alone, at the sizes of a SmolLM2-135M step and at sizes beyond the caches; and the output head.</summary>
/// <remarks>
/// Ours writes into existing memory, as a step does from its second run on. The peer allocates its results, so its allocator is told to keep what is freed:
/// else each call would pay for new pages. Backward of the peer is autograd's alone, on a graph that is kept.
/// Memory-bound rows tell their share of the copy bandwidth, measured in turn with them.
/// </remarks>
internal sealed class OpsWork : IWork
{
    /// <inheritdoc/>
    public string Name => "ops";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        using CpuDevice device = new();
        using CopyBandwidth copy = new(device, options.Quick ? 32 : 256);
        using KeptMemory kept = new();
        string? only = Environment.GetEnvironmentVariable("GRAFT_BENCH_ROWS");
        foreach ((string name, Func<Arena, OpCase> make) in OpTable.Rows(device, options.Quick))
        {
            if (only is not null && !name.Contains(only, StringComparison.Ordinal))
            {
                continue;
            }

            using Arena arena = new(device, "op");
            OpCase row = make(arena);
            yield return Row(options, copy, row);
            row.End?.Invoke();
        }
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        // Memory of an op is that of its operands on either side.
    }

    private static BenchRow Row(BenchOptions options, CopyBandwidth copy, OpCase row)
    {
        row.Ours();
        string? disagreement = row.Theirs is null || Agrees(row, out double difference) ? null : string.Create(CultureInfo.InvariantCulture, $", largest difference {difference:G2}");
        return MemoryRow.Measure(
            options, row.IsMemoryBound ? copy : null, $"ops: {row.Name}", (row.Bytes, row.Flops), "torch", row.Ours, row.Theirs is { } theirs ? () => Once(theirs) : null, disagreement);
    }

    private static bool Agrees(OpCase row, out double difference)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        ReadOnlySpan<float> theirs = MemoryMarshal.Cast<byte, float>(row.Theirs!().contiguous().bytes);
        ReadOnlySpan<float> ours = row.Result.AsReadOnlySpan<float>();
        double largest = 0;
        difference = ours.Length == theirs.Length ? 0 : double.PositiveInfinity;
        for (int i = 0; i < ours.Length && i < theirs.Length; i++)
        {
            double apart = Math.Abs((double)ours[i] - theirs[i]);
            difference = double.IsNaN(apart) ? double.PositiveInfinity : Math.Max(difference, apart);
            largest = Math.Max(largest, Math.Abs(theirs[i]));
        }

        return difference <= row.Tolerance * largest;
    }

    private static void Once(Func<torch.Tensor> theirs)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        _ = theirs();
    }
}
