using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Loads and stores of the tails of rows. Calls, so that the loops before them stay small.</summary>
internal static unsafe class Partial
{
    /// <summary>The first <paramref name="count"/> floats, and <paramref name="fill"/> in the other lanes; reads nothing beyond them.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static T Load<T>(float* from, int count, float fill)
        where T : unmanaged, IFloatLanes<T>
    {
        float* lanes = stackalloc float[16];
        T.Store(T.Of(fill), lanes);
        for (int i = 0; i < count; i++)
        {
            lanes[i] = from[i];
        }

        return T.Load(lanes);
    }

    /// <summary>Writes the first <paramref name="count"/> lanes and nothing beyond them.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Store<T>(T value, float* to, int count)
        where T : unmanaged, IFloatLanes<T>
    {
        float* lanes = stackalloc float[16];
        T.Store(value, lanes);
        for (int i = 0; i < count; i++)
        {
            to[i] = lanes[i];
        }
    }

    /// <summary>The first <paramref name="count"/> lanes, and zero in the others.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static T Keep<T>(T value, int count)
        where T : unmanaged, IFloatLanes<T>
    {
        float* lanes = stackalloc float[16];
        T.Store(value, lanes);
        for (int i = count; i < T.Count; i++)
        {
            lanes[i] = 0;
        }

        return T.Load(lanes);
    }
}
