namespace Graft.Models.Checkpoints;

/// <summary>Lists in error messages: complete up to a length that a person reads.</summary>
internal static class MessageList
{
    private const int Shown = 20;

    public static string Join(IReadOnlyCollection<string> items)
    {
        return items.Count <= Shown ? string.Join("; ", items) : $"{string.Join("; ", items.Take(Shown))}; and {items.Count - Shown} more";
    }
}
