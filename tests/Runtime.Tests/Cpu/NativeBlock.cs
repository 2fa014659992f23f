using System.Runtime.InteropServices;

namespace Graft.Runtime.Tests.Cpu;

/// <summary>A native buffer of an exact size at an odd address, with canaries on both sides that <see cref="Dispose"/> checks.</summary>
internal sealed unsafe class NativeBlock : IDisposable
{
    private const int Guard = 256;
    private readonly byte* _memory;
    private readonly long _bytes;

    public NativeBlock(long bytes, int misalign = 4)
    {
        _bytes = bytes;
        _memory = (byte*)NativeMemory.AlignedAlloc((nuint)(bytes + (2 * Guard) + 64), 64);
        Start = _memory + Guard + misalign;
        new Span<byte>(_memory, checked((int)(bytes + (2 * Guard) + 64))).Fill(0xA5);
    }

    public byte* Start { get; }

    public float* Floats => (float*)Start;

    public static NativeBlock Of(ReadOnlySpan<float> values)
    {
        NativeBlock block = new(values.Length * 4L);
        values.CopyTo(new Span<float>(block.Floats, values.Length));
        return block;
    }

    public static NativeBlock OfBFloat16(ReadOnlySpan<float> values)
    {
        NativeBlock block = new(values.Length * 2L, 2);
        for (int i = 0; i < values.Length; i++)
        {
            ((BFloat16*)block.Start)[i] = (BFloat16)values[i];
        }

        return block;
    }

    public float[] ToArray() => new Span<float>(Floats, (int)(_bytes / 4)).ToArray();

    public void Dispose()
    {
        byte* end = Start + _bytes;
        bool intact = new Span<byte>(_memory, (int)(Start - _memory)).IndexOfAnyExcept((byte)0xA5) < 0
            && new Span<byte>(end, Guard).IndexOfAnyExcept((byte)0xA5) < 0;
        NativeMemory.AlignedFree(_memory);
        Assert.That(intact, "bytes outside of the buffer were written");
    }
}
