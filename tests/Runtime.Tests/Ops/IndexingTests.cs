using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Ops;

public class IndexingTests
{
    private CpuDevice _device = null!;
    private Arena _arena = null!;
    private Tape _tape = null!;

    [SetUp]
    public void Open()
    {
        _device = new CpuDevice(2);
        _arena = new Arena(_device, "test", 4096);
        _tape = new Tape(_arena);
    }

    [TearDown]
    public void Close()
    {
        _tape.Dispose();
        _arena.Dispose();
        _device.Dispose();
    }

    private Tensor Floats(Shape shape, params float[] values) => _arena.Create<float>(shape, values, MemoryCategory.Activations);

    private Tensor Integers(Shape shape, params int[] values) => _arena.Create<int>(shape, values, MemoryCategory.Activations);

    [Test]
    public void An_index_outside_is_named_with_its_position()
    {
        Tensor x = Floats(new Shape(2, 2), 1, 2, 3, 4);
        Assert.That(() => _tape.Embedding(x, Integers(new Shape(2), 1, 2)), Throws.TypeOf<IndexException>().With.Message.Contains("index 2 at position 1"));
        Assert.That(() => _tape.Gather(x, Integers(new Shape(2, 1), 0, -1)), Throws.TypeOf<IndexException>());
        Assert.That(() => _tape.ScatterAddRows(x, Integers(new Shape(2), 0, 3), 3), Throws.TypeOf<IndexException>());
        Assert.That(() => _tape.ScatterAdd(x, Integers(new Shape(2, 1), 0, 2), Floats(new Shape(2, 1), 1, 1)), Throws.TypeOf<IndexException>());
    }

    [Test]
    public void Shapes_and_types_that_do_not_fit_are_named()
    {
        Tensor x = Floats(new Shape(2, 2), 1, 2, 3, 4);
        Assert.That(() => _tape.Embedding(x, x), Throws.TypeOf<DTypeException>().With.Message.Contains("embedding: input 1 must be i32"));
        Assert.That(() => _tape.Slice(x, 1, 1, 2), Throws.TypeOf<ShapeException>().With.Message.Contains("2 from 1 on"));
        Assert.That(() => _tape.Slice(x, 0, 2, 1), Throws.TypeOf<ShapeException>());
        Assert.That(() => _tape.Slice(x, 2, 0, 1), Throws.TypeOf<ShapeException>());
        Assert.That(() => _tape.Split(x, 1, 1, 2), Throws.TypeOf<ShapeException>());
        Assert.That(() => _tape.Concat(0, x, Floats(new Shape(1, 3), 1, 2, 3)), Throws.TypeOf<ShapeException>().With.Message.Contains("input 1"));
        Assert.That(() => _tape.Concat(0), Throws.TypeOf<ShapeException>());
        Assert.That(() => _tape.Concat(0, x, Integers(new Shape(1, 2), 1, 2)), Throws.TypeOf<DTypeException>());
        Assert.That(() => _tape.Permute(x, 0, 0), Throws.TypeOf<ShapeException>());
        Assert.That(() => _tape.Permute(x, 0, 7), Throws.TypeOf<ShapeException>());
        Assert.That(() => _tape.Transpose(x, 0, 2), Throws.TypeOf<ShapeException>());
        Assert.That(() => _tape.Reshape(x, new Shape(3)), Throws.TypeOf<ShapeException>());
        Assert.That(() => _tape.TopK(x, 3), Throws.TypeOf<ShapeException>());
        Assert.That(() => _tape.MaskedFill(x, Integers(new Shape(2), 1, 1), 0), Throws.TypeOf<DTypeException>());
    }

    [Test]
    public void An_index_of_the_maximum_of_a_tensor_with_gradient_is_refused() =>
        Assert.That(() => _tape.ArgMax(_tape.Watch(Floats(new Shape(2), 1, 2))), Throws.TypeOf<AutogradException>());

    [Test]
    public void Order_puts_nan_last_and_keeps_equal_entries_in_place()
    {
        Tensor x = Floats(new Shape(8), 1, float.NaN, float.NegativeInfinity, 0, -0f, float.PositiveInfinity, 0, float.NaN);
        Assert.That(_tape.Sort(x).Indices.ToArray<int>(), Is.EqualTo(new[] { 2, 3, 4, 6, 0, 5, 1, 7 }));
        Assert.That(_tape.Sort(x, descending: true).Indices.ToArray<int>(), Is.EqualTo(new[] { 1, 7, 5, 0, 3, 4, 6, 2 }));
        Assert.That(_tape.TopK(x, 3).Indices.ToArray<int>(), Is.EqualTo(new[] { 1, 7, 5 }));
        Assert.That(_tape.ArgMax(x).ToArray<int>(), Is.EqualTo(new[] { 1 }));
        Assert.That(_tape.ArgMax(Floats(new Shape(2, 3), 1, 3, 3, -0f, 0, 0)).ToArray<int>(), Is.EqualTo(new[] { 1, 0 }));
    }

    [TestCase(64)]
    [TestCase(65)]
    [TestCase(300)]
    public void Selection_by_insertion_and_by_sorting_agree_with_a_stable_sort(int k)
    {
        float[] values = new float[300];
        new Rng(1).FillUniform(0, values, 0, 20);
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = MathF.Floor(values[i]);
        }

        int[] expected = [.. Enumerable.Range(0, 300).OrderByDescending(i => values[i]).ThenBy(i => i).Take(k)];
        (Tensor top, Tensor indices) = _tape.TopK(Floats(new Shape(300), values), k);
        Assert.That(indices.ToArray<int>(), Is.EqualTo(expected));
        Assert.That(top.ToArray<float>(), Is.EqualTo(expected.Select(i => values[i])));
    }

    [Test]
    public void A_slice_of_the_leading_axis_and_a_reshape_share_memory()
    {
        Tensor x = Floats(new Shape(3, 2), 1, 2, 3, 4, 5, 6);
        Tensor row = _tape.Reshape(_tape.Slice(x, 0, 1, 1), new Shape(2));
        x.AsSpan<float>()[3] = 9;
        Assert.That(row.ToArray<float>(), Is.EqualTo(new float[] { 3, 9 }));
    }

    [Test]
    public void Split_parts_give_their_gradients_back_to_their_places()
    {
        Tensor x = _tape.Watch(Floats(new Shape(2, 5), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
        Tensor[] parts = _tape.Split(x, 1, 2, 1, 2);
        Assert.That(parts[1].ToArray<float>(), Is.EqualTo(new float[] { 3, 8 }));
        Tensor back = _tape.Concat(1, parts[2], parts[1], parts[0]);
        Assert.That(back.ToArray<float>(), Is.EqualTo(new float[] { 4, 5, 3, 1, 2, 9, 10, 8, 6, 7 }));
        _tape.Backward(back, Floats(new Shape(2, 5), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
        Assert.That(_tape.GradientOf(x)!.ToArray<float>(), Is.EqualTo(new float[] { 4, 5, 3, 1, 2, 9, 10, 8, 6, 7 }));
    }

    [Test]
    public void A_permutation_undone_is_the_identity()
    {
        float[] values = new float[2 * 3 * 4 * 5];
        new Rng(1).FillNormal(0, values);
        Tensor x = Floats(new Shape(2, 3, 4, 5), values);
        Tensor y = _tape.Permute(x, 3, 1, 0, 2);
        Assert.That(y.Shape, Is.EqualTo(new Shape(5, 3, 2, 4)));
        for (int i = 0; i < values.Length; i++)
        {
            (int a, int b, int c, int d) = (i / 60, i / 20 % 3, i / 5 % 4, i % 5);
            Assert.That(y.AsSpan<float>()[(((((d * 3) + b) * 2) + a) * 4) + c], Is.EqualTo(values[i]));
        }

        Worst.Within(Array.ConvertAll(_tape.Permute(y, 2, 1, 3, 0).ToArray<float>(), v => (double)v), Array.ConvertAll(values, v => (double)v), 0, 0, "back");
    }

    [Test]
    public void Rows_added_by_index_are_the_sums_of_a_plain_loop()
    {
        const int Rows = 40, Count = 500, Width = 33;
        float[] x = new float[Count * Width];
        new Rng(1).FillNormal(0, x);
        int[] ids = [.. Enumerable.Range(0, Count).Select(i => new Rng(2).Below(i, Rows))];
        float[] expected = new float[Rows * Width];
        for (int i = 0; i < x.Length; i++)
        {
            expected[(ids[i / Width] * Width) + (i % Width)] += x[i];
        }

        Tensor y = _tape.ScatterAddRows(Floats(new Shape(Count, Width), x), Integers(new Shape(Count), ids), Rows);
        Assert.That(y.ToArray<float>(), Is.EqualTo(expected)); // the same order of additions, so the same bits
        float[] picked = _tape.GatherRows(y, Integers(new Shape(2), 7, 0)).ToArray<float>();
        Assert.That(picked, Is.EqualTo(expected[(7 * Width)..(8 * Width)].Concat(expected[..Width])));
    }

    [Test]
    public void Where_takes_from_the_first_choice_where_the_condition_holds()
    {
        Tensor condition = _arena.Create<bool>(new Shape(4), [true, false, false, true], MemoryCategory.Activations);
        Tensor y = _tape.Where(condition, Floats(new Shape(4), 1, 2, 3, 4), Floats(new Shape(4), 5, 6, 7, 8));
        Assert.That(y.ToArray<float>(), Is.EqualTo(new float[] { 1, 6, 7, 4 }));
    }

    [Test]
    public void A_slice_of_a_middle_axis_takes_its_range()
    {
        float[] values = [.. Enumerable.Range(0, 2 * 4 * 3).Select(i => (float)i)];
        Tensor y = _tape.Slice(Floats(new Shape(2, 4, 3), values), 1, 1, 2);
        Assert.That(y.ToArray<float>(), Is.EqualTo(new float[] { 3, 4, 5, 6, 7, 8, 15, 16, 17, 18, 19, 20 }));
    }
}
