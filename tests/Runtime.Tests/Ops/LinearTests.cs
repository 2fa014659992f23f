namespace Graft.Runtime.Tests.Ops;

[TestFixture]
internal sealed class LinearTests
{
    [Test]
    public void Gradients_agree_with_differences([Values] bool inputFirst, [Values] bool bias, [Values] bool branch)
    {
        OpHarness.CheckGradients((t, x) => Build(t, x, inputFirst, bias, branch), Shapes(2, 3, 5, 4, 2, inputFirst, bias, branch));
    }

    [Test]
    public void Single_and_bfloat16_agree_with_f64([Values] bool inputFirst, [Values] bool bias, [Values] bool branch, [Values] bool half)
    {
        Shape[] shapes = Shapes(2, 19, 33, 40, 5, inputFirst, bias, branch);
        DType[] types = [.. shapes.Select((_, i) => half && (i == 1 || (branch && i == shapes.Length - 1)) ? DType.BF16 : DType.F32)];
        OpHarness.CheckAgainstDouble((t, x) => Build(t, x, inputFirst, bias, branch), 2e-6, types, shapes);
    }

    [Test]
    public void The_whole_is_the_sum_of_its_parts()
    {
        using CpuDevice device = new(1);
        using Arena arena = new(device, "a");
        Tape t = Tape.None(arena);
        Tensor x = arena.Create<double>(new Shape(1, 2), [1, 2], MemoryCategory.Activations);
        Tensor w = arena.Create<double>(new Shape(2, 2), [1, 10, 100, 1000], MemoryCategory.Activations);
        Tensor b = arena.Create<double>(new Shape(2), [0.5, 0.25], MemoryCategory.Activations);
        Tensor u = arena.Create<double>(new Shape(1, 1), [3], MemoryCategory.Activations);
        Tensor up = arena.Create<double>(new Shape(2, 1), [1, -1], MemoryCategory.Activations);
        Assert.That(t.LinearWithBranch(x, w, b, u, up, 2).ToArray<double>(), Is.EqualTo(new[] { 27.5, 2094.25 }));
        Assert.That(t.Linear(x, w, b, inputFirst: true).ToArray<double>(), Is.EqualTo(new[] { 201.5, 2010.25 }));
    }

    [Test]
    public void Frozen_weights_get_no_gradient_and_keep_nothing()
    {
        using CpuDevice device = new(1);
        using Arena arena = new(device, "a");
        using Tape t = new(arena);
        Tensor x = arena.Create<float>(new Shape(1, 2), [1, 2], MemoryCategory.Activations);
        Parameter w = new("w", arena.Create<float>(new Shape(1, 2), [3, 4], MemoryCategory.Weights));
        _ = t.Linear(x, w.Value);
        Assert.That(t.Count, Is.Zero);
        Assert.That(w.Gradient, Is.Null);
    }

    private static Tensor Build(Tape t, Tensor[] x, bool inputFirst, bool bias, bool branch)
    {
        Tensor? b = bias ? x[2] : null;
        return branch ? t.LinearWithBranch(x[0], x[1], b, x[^2], x[^1], 1.5f, inputFirst) : t.Linear(x[0], x[1], b, inputFirst);
    }

    private static Shape[] Shapes(int batch, int rows, int inputs, int outputs, int rank, bool inputFirst, bool bias, bool branch)
    {
        List<Shape> shapes = [new(batch, rows, inputs), inputFirst ? new(inputs, outputs) : new(outputs, inputs)];
        if (bias)
        {
            shapes.Add(new(outputs));
        }

        if (branch)
        {
            shapes.AddRange([new(batch, rows, rank), new(outputs, rank)]);
        }

        return [.. shapes];
    }
}
