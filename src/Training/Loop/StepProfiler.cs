using Graft.Runtime;

namespace Graft.Training;

/// <summary>Which steps of a run to profile.</summary>
public sealed record StepProfileOptions
{
    /// <summary>Steps that are left out first: they compile code and take memory. Fewer where the run has no more than these.</summary>
    public long Skip { get; init; } = 2;

    /// <summary>Steps that are profiled after them; the rest of the run goes on as without a profile.</summary>
    public long Steps { get; init; } = 5;
}

/// <summary>Chooses the steps to profile, and holds what they leave.</summary>
internal sealed class StepProfiler(Device device, StepProfileOptions options)
{
    private const string Whole = "step";

    private long _done;

    /// <summary>The spans of all profiled steps; null before the first.</summary>
    public OpProfile? Profile { get; private set; }

    /// <summary>What the next step is measured by; null where it is not.</summary>
    /// <param name="left">Steps that the run has left.</param>
    public OpProfile? Next(long left)
    {
        long begin = Math.Min(options.Skip, _done + left - 1);
        return _done >= begin && _done - begin < options.Steps ? Profile ??= new OpProfile(device) : null;
    }

    /// <summary>The span around a step: its own time is what lies outside of ops.</summary>
    public static ProfileSpan Around(OpProfile? profile) => ProfileSpan.Open(profile, Whole);

    /// <summary>Counts a step, and says where its time went if it was measured.</summary>
    public StepProfiled? Completed(long step, OpProfile? profile)
    {
        _done++;
        if (profile is null)
        {
            return null;
        }

        IReadOnlyList<OpFamilyCost> all = profile.TakeFamilies();
        OpFamilyCost[] inside = [.. all.Where(f => f.Name != Whole)];
        return new StepProfiled(step, inside, all.Single(f => f.Name == Whole).Seconds);
    }
}
