namespace Graft.Runtime;

/// <summary>Reads a stream in order; its position is all the state there is, so saving that number saves the sequence.</summary>
/// <remarks>Every draw advances the position by one 64-bit index of <see cref="Rng.Bits64"/>.</remarks>
public sealed class RngSequence(Rng rng, long position)
{
    /// <summary>The stream that is read.</summary>
    public Rng Rng { get; } = rng;

    /// <summary>The index of the next draw.</summary>
    public long Position { get; private set; } = position;

    /// <summary>64 random bits.</summary>
    public ulong NextBits() => Rng.Bits64(Position++);

    /// <summary>A number from 0 to <paramref name="bound"/> - 1.</summary>
    public int NextBelow(int bound) => Rng.Below(Position++, bound);

    /// <summary>A uniform number in [0, 1) on a grid of 2^-53.</summary>
    public double NextUniform() => (NextBits() >> 11) * (1.0 / (1L << 53));

    /// <summary>Exchanges the entries into a random order.</summary>
    public void Shuffle<T>(Span<T> items)
    {
        for (int i = items.Length - 1; i > 0; i--)
        {
            int j = NextBelow(i + 1);
            (items[i], items[j]) = (items[j], items[i]);
        }
    }
}
