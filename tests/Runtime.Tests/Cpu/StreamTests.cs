using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Cpu;

/// <summary>Results that are larger than the caches are stored past them: the same bits as in pieces that are not, and nothing beside them.</summary>
[TestFixture]
public sealed class StreamTests
{
    private const int Columns = 40_000; // more than one block of the sums, no multiple of it
    private const int Rows = 210; // 33.6 MB

    [Test]
    public void Rows_are_the_same_streamed_and_one_by_one()
    {
        Assert.That(Streams.Pay((long)Rows * Columns), Is.True);
        float[] x = Kernels.Numbers(Rows * Columns, 1, 3), dy = Kernels.Numbers(Rows * Columns, 2);
        int[] labels = [.. Enumerable.Range(0, Rows)];
        float[] loss = new float[Rows], lse = new float[Rows];
        using WorkerTeam team = new(2);
        CrossEntropyKernel.Forward(team, Rows, Columns, x, labels, [], default, loss, lse);
        Same("softmax", (to, row, n) => SoftmaxKernels.Forward(team, n, Columns, Part(x, row, n), to));
        Same("softmax backward", (to, row, n) => SoftmaxKernels.Backward(team, n, Columns, Part(x, row, n), Part(dy, row, n), to));
        Same("log-softmax", (to, row, n) => SoftmaxKernels.LogForward(team, n, Columns, Part(x, row, n), to));
        Same("cross-entropy backward", (to, row, n) => CrossEntropyKernel.Backward(
            team, n, Columns, Part(x, row, n), labels.AsSpan(row, n), [], default, lse.AsSpan(row, n), loss.AsSpan(row, n), to));
        Same("rms norm", (to, row, n) => RmsNormKernel.Forward(team, n, Columns, Part(x, row, n), Part(dy, 0, 1), 1e-5f, to, new float[n]));
        Same("swiglu", (to, row, n) => Elementwise.Run<SwiGluOperator>(team, Part(x, row, n), Part(dy, row, n), to));
    }

    [Test]
    public void Copies_and_fills_stop_at_their_ends()
    {
        using CpuDevice device = new(2);
        using Arena arena = new(device, "blocks");
        int count = (int)(Streams.LeastBytes / sizeof(float)) + 5;
        Tensor from = arena.Allocate(new Shape(count), DType.F32, MemoryCategory.Workspace), to = arena.Allocate(new Shape(count + 2), DType.F32, MemoryCategory.Workspace);
        new Rng(3).FillNormal(0, from.AsSpan<float>());
        to.AsSpan<float>().Fill(7);
        Tensor inner = Tape.None(arena).View(to, new Shape(count), 1);
        inner.CopyFrom(from);
        Assert.That(inner.AsReadOnlySpan<float>().SequenceEqual(from.AsReadOnlySpan<float>()), Is.True);
        Assert.That((to.AsReadOnlySpan<float>()[0], to.AsReadOnlySpan<float>()[^1]), Is.EqualTo((7f, 7f)));
        inner.Clear();
        Assert.That(inner.AsReadOnlySpan<float>().ContainsAnyExcept(0f), Is.False);
        Assert.That((to.AsReadOnlySpan<float>()[0], to.AsReadOnlySpan<float>()[^1]), Is.EqualTo((7f, 7f)));
    }

    private static ReadOnlySpan<float> Part(float[] x, int row, int rows) => x.AsSpan(row * Columns, rows * Columns);

    private delegate void Kernel(Span<float> to, int row, int rows);

    // Arrays lie 16 bytes beside a cache line, as managed memory does; the aligned start makes the first rows stream.
    private static void Same(string name, Kernel kernel)
    {
        float[] whole = GC.AllocateUninitializedArray<float>((Rows * Columns) + 32, pinned: true), one = new float[Columns];
        int start = Aligned(whole);
        Span<float> result = whole.AsSpan(start, Rows * Columns);
        whole.AsSpan().Fill(float.MaxValue);
        kernel(result, 0, Rows);
        for (int row = 0; row < Rows; row++)
        {
            kernel(one, row, 1);
            Assert.That(result.Slice(row * Columns, Columns).SequenceEqual(one), Is.True, $"{name}, row {row}");
        }

        Assert.That((whole[..start].All(v => v == float.MaxValue), whole[start + (Rows * Columns)]), Is.EqualTo((true, float.MaxValue)), name);
    }

    private static unsafe int Aligned(float[] pinned)
    {
        fixed (float* first = pinned)
        {
            return (int)((64 - ((nint)first & 63)) & 63) / sizeof(float);
        }
    }
}
