namespace Graft.Runtime.Tests.Cuda;

/// <summary>Kernels that move, pick and add elements by index, beyond the op table: repeated ids, chunks of ids, every element size, indices out of bounds.</summary>
[Category("CudaEmulator")]
public class MovementCudaTests
{
    private CudaAgainstCpu _pair = null!;

    [OneTimeSetUp]
    public void Open() => _pair = new CudaAgainstCpu();

    [OneTimeTearDown]
    public void Close() => _pair?.Dispose();

    [TestCase(9000, 37, 5, -1)] // two chunks of sorted ids, many repetitions
    [TestCase(9000, 1, 8, -1)]
    [TestCase(300, 37, 64, 3)]
    [TestCase(300, 1000, 132, -1)]
    [TestCase(31, 7, 1, 0)]
    [TestCase(33, 7, 260, -1)]
    public void Rows_add_up_in_the_order_of_their_ids(int count, int rows, int width, int padding)
    {
        Values[] inputs = [Values.Normal(new Shape(rows, width), 1), Values.Below(new Shape(count), rows, 2)];
        _pair.Compare("embedding", (t, x) => t.Embedding(x[0], x[1], padding), inputs, 0, 0);
        _pair.Compare("twice", (t, x) => t.Add(t.Embedding(x[0], x[1], padding), t.Embedding(x[0], x[1])), inputs, 0, 0);
        Values[] given = [Values.Normal(new Shape(count, width), 3), Values.Below(new Shape(count), rows, 2)];
        _pair.Compare("scatter_add_rows", (t, x) => t.ScatterAddRows(x[0], x[1], rows), given, 0, 0);
        _pair.Compare("scatter_add_rows", (t, x) => t.ScatterAddRows(x[0], x[1], rows), given, 2e-2, 2e-2, half: true);
        _pair.Compare("scatter_add_rows", (t, x) => t.ScatterAddRows(x[0], x[1], rows), given, 0, 0, offset: 1);
    }

    [TestCase(3, 7, 2500)] // three chunks of a row's indices
    [TestCase(40, 33, 6)]
    [TestCase(1, 1, 1025)]
    public void Elements_add_up_in_the_order_of_their_indices(int rows, int n, int k)
    {
        Values[] inputs = [Values.Normal(new Shape(rows, n), 1), Values.Below(new Shape(rows, k), n, 2), Values.Normal(new Shape(rows, k), 3)];
        _pair.Compare("scatter_add", (t, x) => t.ScatterAdd(x[0], x[1], x[2]), inputs, 0, 0);
        _pair.Compare("gather", (t, x) => t.Gather(x[0], x[1]), inputs[..2], 0, 0);
        _pair.Compare("gather", (t, x) => t.Gather(x[0], x[1]), inputs[..2], 1e-2, 2e-2, half: true, offset: 1);
    }

    [TestCase("33x65", "1,0")]
    [TestCase("64x32", "1,0")]
    [TestCase("3x31x2x64", "0,2,1,3")]
    [TestCase("3x31x2x5", "0,2,1,3")]
    [TestCase("2x3x33x4x35", "4,1,3,2,0")]
    [TestCase("2x3x4x5x2x3", "5,3,4,0,2,1")]
    [TestCase("2x3x4x5x2x16", "4,2,0,3,1,5")]
    [TestCase("1x5x1", "2,1,0")]
    [TestCase("1x1", "1,0")]
    public void Axes_change_places_whatever_the_size_of_an_element(string shape, string axes)
    {
        Shape from = Tables.Row.Parse(shape)[0];
        int[] order = [.. axes.Split(',').Select(int.Parse)];
        _pair.Compare("permute", (t, x) => t.Permute(x[0], order), [Values.Normal(from, 1)], 0, 0);
        _pair.Compare("permute", (t, x) => t.Permute(x[0], order), [Values.Normal(from, 1)], 0, 0, half: true, offset: 1);
        Same(from, order, i => (byte)i);
        Same(from, order, i => (long)i << 33);
    }

    [TestCase("4x3x7,4x9x7", 1)]
    [TestCase("4x8x16,4x3x16", 1)]
    [TestCase("5x1,5x4,5x8", -1)]
    public void Parts_join_and_separate(string shapes, int axis)
    {
        Shape[] parsed = Tables.Row.Parse(shapes);
        Values[] inputs = [.. parsed.Select((s, i) => Values.Normal(s, (ulong)i))];
        foreach (int offset in (int[])[0, 1, 8])
        {
            _pair.Compare("concat", (t, x) => t.Concat(axis, x), inputs, 0, 0, offset: offset);
            _pair.Compare("concat", (t, x) => t.Concat(axis, x), inputs, 0, 0, half: true, offset: offset);
            _pair.Compare("slice", (t, x) => t.Slice(x[0], axis, parsed[1][axis] / 2, parsed[1][axis] / 2), [inputs[1]], 0, 0, offset: offset);
            _pair.Compare("slice", (t, x) => t.Slice(x[0], axis, 1, parsed[1][axis] - 1), [inputs[1]], 0, 0, half: true, offset: offset);
        }
    }

    [Test]
    public void Indices_out_of_bounds_are_reported_when_the_host_waits_and_the_device_goes_on()
    {
        using Arena arena = new(_pair.Cuda, "indices");
        Tape t = Tape.None(arena);
        Tensor table = Values.Normal(new Shape(5, 4), 1).On(arena, false, 0);
        foreach (int bad in (int[])[5, -1, int.MinValue])
        {
            Tensor ids = new Values(new Shape(3), null, [0, bad, 4]).On(arena, false, 0), each = new Values(new Shape(5, 1), null, [0, bad, 3, 3, 3]).On(arena, false, 0);
            Tensor five = new Values(new Shape(5), null, [0, bad, 4, 4, 4]).On(arena, false, 0);
            Fails<IndexException>(() => t.Embedding(table, ids));
            Fails<IndexException>(() => t.ScatterAddRows(table, five, 5));
            Fails<IndexException>(() => t.Gather(table, each));
            Fails<IndexException>(() => t.ScatterAdd(table, each, t.Slice(table, 1, 0, 1)));
            Fails<GraftException>(() => t.RotaryEmbedding(t.View(table, new Shape(5, 1, 4)), RotaryTable.Create(arena, new RotaryOptions(4, 10000), 5), five));
        }

        Assert.That(Values.Read(t.Scale(table, 1)), Is.EqualTo(Values.Read(table)), "the device still works");
    }

    [Test]
    public void Rotation_takes_partial_heads_and_repeated_positions([Values(0, 1, 8)] int offset, [Values] bool half)
    {
        foreach ((int size, int rotated) in ((int, int)[])[(64, 64), (64, 32), (10, 6), (16, 16), (2, 2)])
        {
            Values[] inputs = [Values.Normal(new Shape(2, 5, 3, size), 1), Values.Below(new Shape(5), 9, 2)];
            _pair.Compare($"rotary {rotated} of {size}", (t, x) => t.Add(x[0], t.RotaryEmbedding(x[0], RotaryTable.Create(t.Arena, new RotaryOptions(rotated, 10000), 9), x[1])),
                inputs, half ? 2e-2 : 1e-6, half ? 2e-2 : 1e-6, half, offset);
        }
    }

    private void Fails<T>(Action run)
        where T : GraftException
    {
        run();
        _ = Assert.Throws(Is.InstanceOf<T>(), _pair.Cuda.Synchronize);
    }

    private void Same<T>(Shape shape, int[] axes, Func<int, T> value)
        where T : unmanaged
    {
        T[] elements = [.. Enumerable.Range(0, (int)shape.Count).Select(value)];
        using CpuDevice cpu = new(1);
        T[][] results = [.. ((Device[])[cpu, _pair.Cuda]).Select(device =>
        {
            using Arena arena = new(device, "permute");
            Tensor x = arena.Allocate(shape, DTypeExtensions.Of<T>(), MemoryCategory.Activations);
            x.CopyFrom<T>(elements);
            return Tape.None(arena).Permute(x, axes).ToArray<T>();
        })];
        Assert.That(results[1], Is.EqualTo(results[0]));
    }
}
