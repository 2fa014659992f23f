using System.Runtime.Intrinsics;

namespace Graft.Runtime.Cpu;

/// <summary>Unpacks rows of quantised matrices.</summary>
internal static unsafe class BlockRows
{
    /// <summary>to[i] = element <paramref name="first"/> + i of the matrix; first and count are multiples of 32.</summary>
    public static void Unpack(BlockType type, void* from, long first, int count, float* to)
    {
        switch (type)
        {
            case BlockType.Q40:
                Unpack<LoadBlocks<LoadQ40>>(from, first, count, to);
                break;
            case BlockType.Q41:
                Unpack<LoadBlocks<LoadQ41>>(from, first, count, to);
                break;
            default:
                Unpack<LoadBlocks<LoadQ80>>(from, first, count, to);
                break;
        }
    }

    private static void Unpack<TLoad>(void* from, long first, int count, float* to)
        where TLoad : IElementLoad
    {
        for (int i = 0; i < count; i += 8)
        {
            TLoad.Eight(from, first + i).Store(to + i);
        }
    }
}
