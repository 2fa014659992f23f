using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>When results are stored past the caches.</summary>
/// <remarks>
/// A plain store first reads the line that it overwrites: a third of a copy's traffic. A result that is larger than the last cache is gone from it before anybody reads it, so
/// nothing is lost by going past. Worth 1.5 times on a copy of 256 MiB (31 to 47 GB/s on two cores of a Zen 4). Lines that were just read gain nothing: what is overwritten in place
/// is stored plainly.
/// Such stores are ordered by locked instructions, and the counter by which a worker leaves its job is one: whoever waited for the job sees them.
/// </remarks>
internal static unsafe class Streams
{
    /// <summary>Bytes of a result from which on it is streamed: the last cache of the machine above.</summary>
    public const long LeastBytes = 32L << 20;

    /// <summary>Whether a result of that many floats is stored past the caches.</summary>
    public static bool Pay(long elements) => elements * sizeof(float) >= LeastBytes;

    /// <summary>The same where the result may be an input.</summary>
    public static bool Pay(long elements, float* result, float* input) => Pay(elements) && result != input;

    /// <summary>Whether vectors of <typeparamref name="T"/> at this address can be.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Fit<T>(float* result)
        where T : unmanaged, IFloatLanes<T>
        => ((nint)result & ((T.Count * sizeof(float)) - 1)) == 0;

    /// <summary>One store; the branch is the same for a whole row, so it costs next to nothing.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<T>(T value, float* to, bool stream)
        where T : unmanaged, IFloatLanes<T>
    {
        if (stream)
        {
            T.Stream(value, to);
        }
        else
        {
            T.Store(value, to);
        }
    }
}
