using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Graft.Runtime;

/// <summary>Where the time goes: every op that runs on a tape with this as its <see cref="Tape.Profile"/>, by family and as spans on a time line.</summary>
/// <remarks>
/// Times are the host's. On a card every span waits for the device at both ends, so that it holds the op's own time; the ops no longer overlap with the host then,
/// and a profiled step takes longer. Spans nest, and a family counts its own time only, so that all families together are the time of the outermost spans.
/// Memory is bounded: the room for spans is taken at once, and what comes after it is counted by family alone. One thread at a time.
/// </remarks>
/// <param name="device">Where the ops run.</param>
/// <param name="capacity">How many spans to keep; 72 bytes each.</param>
public sealed class OpProfile(Device device, int capacity = 1 << 16)
{
    private readonly OpSpan[] _spans = new OpSpan[capacity];
    private readonly List<Open> _open = [];
    private readonly Dictionary<(string Name, ProfilePhase Phase), Total> _totals = [];
    private int _count;

    /// <summary>The spans in the order of their starts; one that encloses others comes before them.</summary>
    public ReadOnlySpan<OpSpan> Spans => _spans.AsSpan(0, _count);

    /// <summary>Spans that found no room and are in the families alone.</summary>
    public long SpansLeftOut { get; private set; }

    /// <summary>What was measured since the last call, the most expensive family first.</summary>
    public IReadOnlyList<OpFamilyCost> TakeFamilies()
    {
        OpFamilyCost[] families =
        [
            .. _totals
                .Select(t => new OpFamilyCost(t.Key.Name, t.Key.Phase, t.Value.Calls, (double)t.Value.Ticks / Stopwatch.Frequency, t.Value.Bytes, t.Value.Flops))
                .OrderByDescending(f => f.Seconds),
        ];
        _totals.Clear();
        return families;
    }

    internal void Begin(string name, ProfilePhase phase)
    {
        device.Synchronize();
        if (phase == ProfilePhase.Forward && _open.Count > 0 && _open[^1].Phase is ProfilePhase.Backward or ProfilePhase.Recompute)
        {
            phase = _open[^1].Phase;
        }

        int place = _count < _spans.Length ? _count++ : -1;
        SpansLeftOut += place < 0 ? 1 : 0;
        _open.Add(new Open { Name = name, Phase = phase, Place = place, Start = Stopwatch.GetTimestamp() });
    }

    internal void Moves(OpCost cost)
    {
        ref Open open = ref CollectionsMarshal.AsSpan(_open)[^1];
        open.Cost = cost;
    }

    internal void End()
    {
        Open ended = _open[^1];
        _open.RemoveAt(_open.Count - 1);
        if (!device.IsLost)
        {
            device.Synchronize(); // of a device that is lost the first error is on its way already
        }

        long ticks = Stopwatch.GetTimestamp() - ended.Start;
        OpCost cost = ended.InnerCost ? default : ended.Cost;
        ref Total total = ref CollectionsMarshal.GetValueRefOrAddDefault(_totals, (ended.Name, ended.Phase), out _);
        total.Calls++;
        total.Ticks += ticks - ended.InnerTicks;
        total.Bytes += cost.Bytes;
        total.Flops += cost.Flops;
        if (ended.Place >= 0)
        {
            _spans[ended.Place] = new OpSpan(ended.Name, ended.Phase, ended.Start, ticks, cost);
        }

        if (_open.Count > 0)
        {
            ref Open outer = ref CollectionsMarshal.AsSpan(_open)[^1];
            outer.InnerTicks += ticks;
            outer.InnerCost |= ended.InnerCost || cost != default;
        }
    }

    private struct Open
    {
        public string Name;
        public ProfilePhase Phase;
        public int Place;
        public long Start;
        public long InnerTicks;
        public OpCost Cost;
        public bool InnerCost;
    }

    private struct Total
    {
        public long Calls;
        public long Ticks;
        public long Bytes;
        public long Flops;
    }
}
