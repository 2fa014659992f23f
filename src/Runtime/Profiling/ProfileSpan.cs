namespace Graft.Runtime;

/// <summary>A span of time that is being measured, until it is disposed; the default measures nothing.</summary>
public readonly ref struct ProfileSpan
{
    private readonly OpProfile? _profile;

    private ProfileSpan(OpProfile profile) => _profile = profile;

    /// <summary>Opens a span inside those that are open. A forward inside of a backward is part of that backward.</summary>
    /// <param name="profile">Takes it; null measures nothing.</param>
    /// <param name="name">Its family.</param>
    /// <param name="phase">Its phase.</param>
    public static ProfileSpan Open(OpProfile? profile, string name, ProfilePhase phase = ProfilePhase.Step)
    {
        if (profile is null)
        {
            return default;
        }

        profile.Begin(name, phase);
        return new ProfileSpan(profile);
    }

    /// <summary>Says what happened in it. Does not count where spans inside have a cost of their own.</summary>
    public void Moves(OpCost cost) => _profile?.Moves(cost);

    /// <summary>Ends it.</summary>
    public void Dispose() => _profile?.End();
}
