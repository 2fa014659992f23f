namespace Graft.Runtime.Tests.Ops;

[TestFixture]
internal sealed class MatMulTests
{
    private static readonly DType[] s_single = [DType.F32, DType.F32];
    private static readonly DType[] s_mixed = [DType.F32, DType.BF16];

    [Test]
    public void Gradients_agree_with_differences([Values] bool transposeA, [Values] bool transposeB, [Values("22", "33", "32", "23", "44")] string ranks)
    {
        (Shape a, Shape b) = Shapes(ranks, 3, 4, 5, transposeA, transposeB);
        OpHarness.CheckGradients((t, x) => t.MatMul(x[0], x[1], transposeA, transposeB), a, b);
    }

    [Test]
    public void Single_and_bfloat16_agree_with_f64([Values] bool transposeA, [Values] bool transposeB, [Values("22", "33", "32", "23", "44")] string ranks, [Values] bool half)
    {
        (Shape a, Shape b) = Shapes(ranks, 33, 17, 9, transposeA, transposeB);
        OpHarness.CheckAgainstDouble((t, x) => t.MatMul(x[0], x[1], transposeA, transposeB), 2e-6, half ? s_mixed : s_single, a, b);
    }

    [Test]
    public void A_product_in_f64_is_the_sum_it_says()
    {
        using CpuDevice device = new(1);
        using Arena arena = new(device, "a");
        Tape t = Tape.None(arena);
        Tensor a = arena.Create<double>(new Shape(2, 3), [1, 2, 3, 4, 5, 6], MemoryCategory.Activations);
        Tensor b = arena.Create<double>(new Shape(3, 2), [1, 0, 0, 1, 2, -1], MemoryCategory.Activations);
        Assert.That(t.MatMul(a, b).ToArray<double>(), Is.EqualTo(new double[] { 7, -1, 16, -1 }));
    }

    [Test]
    public void Wrong_shapes_and_types_say_what_is_needed()
    {
        using CpuDevice device = new(1);
        using Arena arena = new(device, "a");
        Tape t = Tape.None(arena);
        Tensor a = arena.Zeros(new Shape(2, 3), DType.F32, MemoryCategory.Activations);
        Tensor b = arena.Zeros(new Shape(4, 2), DType.F32, MemoryCategory.Activations);
        Tensor c = arena.Zeros(new Shape(3, 2), DType.I32, MemoryCategory.Activations);
        Assert.That(() => t.MatMul(a, b), Throws.TypeOf<ShapeException>().With.Message.Contains("3 of a and 4 of b"));
        Assert.That(() => t.MatMul(a, c), Throws.TypeOf<DTypeException>());
    }

    private static (Shape A, Shape B) Shapes(string ranks, int m, int n, int k, bool transposeA, bool transposeB)
    {
        int[] batch = ranks is "44" ? [2, 1] : [2];
        int[] a = transposeA ? [k, m] : [m, k];
        int[] b = transposeB ? [n, k] : [k, n];
        return (new Shape(ranks[0] == '2' ? a : [.. batch, .. a]), new Shape(ranks[1] == '2' ? b : [.. batch, .. b]));
    }
}
