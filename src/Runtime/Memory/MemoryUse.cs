using System.Runtime.CompilerServices;

namespace Graft.Runtime;

/// <summary>What memory is held for.</summary>
public enum MemoryCategory : byte
{
    /// <summary>Parameters, frozen or not.</summary>
    Weights,

    /// <summary>Gradients of parameters.</summary>
    Gradients,

    /// <summary>State of the optimizer.</summary>
    Optimizer,

    /// <summary>Results of ops, what they save for backward, and gradients of activations.</summary>
    Activations,

    /// <summary>Space that one op needs while it runs, and caches.</summary>
    Workspace,
}

/// <summary>Bytes by category.</summary>
public struct MemoryUse : IEquatable<MemoryUse>
{
    /// <summary>The number of categories.</summary>
    public const int Categories = 5;

    private Amounts _bytes;

    /// <summary>Bytes of one category.</summary>
    public long this[MemoryCategory category]
    {
        readonly get => _bytes[(int)category];
        set => _bytes[(int)category] = value;
    }

    /// <summary>Bytes of all categories.</summary>
    public readonly long Total
    {
        get
        {
            long total = 0;
            for (int i = 0; i < Categories; i++)
            {
                total += _bytes[i];
            }

            return total;
        }
    }

    /// <summary>The sum of two uses, category by category.</summary>
    public static MemoryUse Add(MemoryUse left, MemoryUse right)
    {
        for (int i = 0; i < Categories; i++)
        {
            left._bytes[i] += right._bytes[i];
        }

        return left;
    }

    /// <summary>The sum of two uses, category by category.</summary>
    public static MemoryUse operator +(MemoryUse left, MemoryUse right) => Add(left, right);

    /// <summary>Same bytes in every category.</summary>
    public static bool operator ==(MemoryUse left, MemoryUse right) => left.Equals(right);

    /// <summary>Other bytes in some category.</summary>
    public static bool operator !=(MemoryUse left, MemoryUse right) => !left.Equals(right);

    /// <inheritdoc/>
    public readonly bool Equals(MemoryUse other)
    {
        for (int i = 0; i < Categories; i++)
        {
            if (_bytes[i] != other._bytes[i])
            {
                return false;
            }
        }

        return true;
    }

    /// <inheritdoc/>
    public override readonly bool Equals(object? obj) => obj is MemoryUse other && Equals(other);

    /// <inheritdoc/>
    public override readonly int GetHashCode() => Total.GetHashCode();

    /// <summary>As in messages: `weights 1024, activations 64`.</summary>
    public override readonly string ToString()
    {
        List<string> parts = [];
        for (int i = 0; i < Categories; i++)
        {
            if (_bytes[i] != 0)
            {
                parts.Add($"{((MemoryCategory)i).ToString().ToLowerInvariant()} {_bytes[i]}");
            }
        }

        return parts.Count == 0 ? "nothing" : string.Join(", ", parts);
    }

    [InlineArray(Categories)]
    private struct Amounts
    {
        private long _first;
    }
}

/// <summary>What an arena holds and has held at most. All figures in bytes.</summary>
/// <param name="Name">The arena's name.</param>
/// <param name="Current">Held now, by category.</param>
/// <param name="Peak">Held at the moment when the total was largest, by category.</param>
/// <param name="SlabBytes">Taken from the device, free blocks included.</param>
/// <param name="SlabAllocations">How many times the device was asked for memory since the arena was made.</param>
public sealed record ArenaReport(string Name, MemoryUse Current, MemoryUse Peak, long SlabBytes, int SlabAllocations);
