using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Ops;

/// <summary>What the op table cannot say of the elementwise ops, norms and losses: errors, gradients of conversions, batches.</summary>
[TestFixture]
public sealed class VectorOpTests
{
    private CpuDevice _device = null!;
    private Arena _arena = null!;

    [SetUp]
    public void Open()
    {
        _device = new CpuDevice(2);
        _arena = new Arena(_device, "test");
    }

    [TearDown]
    public void Close()
    {
        _arena.Dispose();
        _device.Dispose();
    }

    [Test]
    public void Shapes_and_types_that_do_not_fit_are_named()
    {
        Tape t = Tape.None(_arena);
        Tensor x = Floats(new Shape(2, 3)), y = Floats(new Shape(4)), labels = _arena.Create<int>(new Shape(2), [0, 7], MemoryCategory.Activations);
        Assert.That(() => t.Add(x, y), Throws.TypeOf<ShapeException>().With.Message.Contains("(2, 3) f32, (4) f32"));
        Assert.That(() => t.Exp(labels), Throws.TypeOf<DTypeException>());
        Assert.That(() => t.Sum(x, 2), Throws.TypeOf<ShapeException>());
        Assert.That(() => t.RmsNorm(x, y, 1e-5f), Throws.TypeOf<ShapeException>().With.Message.Contains("3 elements"));
        Assert.That(() => t.LayerNorm(x, Floats(new Shape(3)), y, 1e-5f), Throws.TypeOf<ShapeException>());
        Assert.That(() => t.SwiGlu(x, y), Throws.TypeOf<ShapeException>());
        Assert.That(() => t.CrossEntropy(x, labels), Throws.TypeOf<GraftException>().With.Message.Contains("label 7 of row 1"));
        Assert.That(() => t.CrossEntropy(x, labels, smoothing: 1), Throws.TypeOf<ShapeException>());
        Assert.That(() => t.Dropout(x, 1.5f, new Rng(1)), Throws.TypeOf<ShapeException>());
        Assert.That(() => t.Cast(labels, DType.F32), Throws.TypeOf<DTypeException>());
        Tensor heads = Floats(new Shape(2, 1, 4));
        RotaryTable table = RotaryTable.Create(_arena, new RotaryOptions(4), 7);
        Assert.That(() => t.RotaryEmbedding(heads, table, labels), Throws.TypeOf<GraftException>().With.Message.Contains("position 7 of token 1"));
        Assert.That(() => t.RotaryEmbedding(Floats(new Shape(2, 1, 2)), table, labels), Throws.TypeOf<ShapeException>());
        Assert.That(() => RotaryTable.Create(_arena, new RotaryOptions(5), 7), Throws.TypeOf<ConfigurationException>());
    }

    [TestCase(DType.F32, DType.BF16)]
    [TestCase(DType.BF16, DType.F32)]
    [TestCase(DType.F16, DType.BF16)]
    [TestCase(DType.F64, DType.F16)]
    [TestCase(DType.F32, DType.F64)]
    public void A_conversion_passes_the_gradient_unrounded(DType from, DType to)
    {
        using Tape tape = new(_arena);
        Tensor x = tape.Watch(Tape.None(_arena).Cast(Floats(new Shape(9)), from));
        Tensor y = tape.Cast(x, to);
        bool wide = to == DType.F64;
        float[] upstream = Numbers(9, 5);
        tape.Backward(y, wide
            ? _arena.Create<double>(y.Shape, Array.ConvertAll(upstream, u => (double)u), MemoryCategory.Activations)
            : _arena.Create<float>(y.Shape, upstream, MemoryCategory.Activations));
        Tensor dx = tape.GradientOf(x)!;
        Assert.That(dx.DType, Is.EqualTo(from == DType.F64 ? DType.F64 : DType.F32));
        Assert.That(OpHarness.Read(dx), Is.EqualTo(Array.ConvertAll(upstream, u => (double)u)));
    }

    [Test]
    public void A_double_is_rounded_to_bf16_once()
    {
        // Just above the middle between two BF16 numbers: rounding to F32 first lands on the middle and then on the even one below.
        double above = 1 + (1.0 / 256) + 1e-12;
        Tensor x = _arena.Create<double>(new Shape(4), [above, -above, 1 + (1.0 / 256), double.PositiveInfinity], MemoryCategory.Activations);
        float[] y = Tape.None(_arena).Cast(x, DType.BF16).ToArray<BFloat16>().Select(b => (float)b).ToArray();
        Assert.That(y, Is.EqualTo(new[] { 1 + (1f / 128), -1 - (1f / 128), 1, float.PositiveInfinity }));
    }

    [Test]
    public void Losses_of_two_half_batches_give_the_gradient_of_the_whole()
    {
        const int Rows = 6, Classes = 50;
        float[] x = Numbers(Rows * Classes, 1);
        int[] labels = [3, -100, 49, 0, 7, -100];
        double[] Gradient(int first, int count)
        {
            using Tape tape = new(_arena);
            using Scope scope = _arena.Enter("batch");
            Tensor logits = tape.Watch(_arena.Create<float>(new Shape(count, Classes), x.AsSpan(first * Classes, count * Classes), MemoryCategory.Activations));
            Tensor at = _arena.Create<int>(new Shape(count), labels.AsSpan(first, count), MemoryCategory.Activations);
            tape.Backward(tape.Scale(tape.Sum(tape.CrossEntropy(logits, at, smoothing: 0.1f)), 1.0 / 4));
            return OpHarness.Read(tape.GradientOf(logits)!);
        }

        Assert.That(Gradient(0, 2).Concat(Gradient(2, 4)), Is.EqualTo(Gradient(0, Rows)));
    }

    [Test]
    public void Dropout_of_a_part_is_the_part_of_the_dropout()
    {
        Tape t = Tape.None(_arena);
        Tensor x = Floats(new Shape(10, 7));
        Rng rng = new Rng(3).Stream("block").At(5);
        float[] whole = t.Dropout(x, 0.5f, rng).ToArray<float>();
        float[] part = t.Dropout(t.View(x, new Shape(4, 7), 21), 0.5f, rng, first: 21).ToArray<float>();
        Assert.That(part, Is.EqualTo(whole[21..49]));
        Assert.That(t.Dropout(x, 0, rng), Is.SameAs(x));
    }

    [Test]
    public void Reductions_over_axes_agree_with_loops()
    {
        Tape t = Tape.None(_arena);
        float[] x = Numbers(3 * 4 * 5, 9);
        Tensor cube = _arena.Create<float>(new Shape(3, 4, 5), x, MemoryCategory.Activations);
        double[] middle = [.. Enumerable.Range(0, 15).Select(i => Enumerable.Range(0, 4).Sum(m => (double)x[(i / 5 * 20) + (m * 5) + (i % 5)]))];
        double[] largest = [.. Enumerable.Range(0, 15).Select(i => Enumerable.Range(0, 4).Max(m => (double)x[(i / 5 * 20) + (m * 5) + (i % 5)]))];
        Worst.Within(OpHarness.Read(t.Sum(cube, 1)), middle, 1e-6, 0, "sum over the middle axis");
        Worst.Within(OpHarness.Read(t.Max(cube, 1)), largest, 0, 0, "max over the middle axis");
        Worst.Within(OpHarness.Read(t.Mean(cube, 0, 2, false)), [.. Enumerable.Range(0, 5).Select(c => Enumerable.Range(0, 12).Average(r => (double)x[(r * 5) + c]))], 1e-6, 0, "mean over two axes");
    }

    private Tensor Floats(Shape shape) => _arena.Create<float>(shape, Numbers((int)shape.Count, 4), MemoryCategory.Activations);

    private static float[] Numbers(int n, ulong seed)
    {
        float[] x = new float[n];
        new Rng(seed).FillNormal(0, x);
        return x;
    }
}
