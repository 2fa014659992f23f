using System.Numerics.Tensors;
using Graft.Runtime;
using Graft.Training.Optimizers;
using Tensor = Graft.Runtime.Tensor;

namespace Graft.Training.Tests.Optimizers;

/// <summary>The second example of docs/optimizers.md: a rule that sees a matrix whole and runs another rule on its gradient's projection. GaLore with
/// projectors given from outside.</summary>
/// <param name="Inner">On the small block.</param>
/// <param name="Rank">Of the projection.</param>
/// <param name="Scale">On the update that comes back.</param>
/// <param name="Sides">Whether a matrix of this shape is projected on the left, and on the right.</param>
/// <param name="Projector">The left (rows, R) or right (R, columns) factor of an entry at a step.</param>
internal sealed record Galore(
    AdamW Inner, int Rank, double Scale, Func<Shape, (bool Left, bool Right)> Sides, Func<ParameterEntry, bool, long, float[]> Projector) : ITensorUpdateRule
{
    public double WeightDecay { get; init; }

    public IReadOnlyList<TensorSpec> StateOf(TensorSpec parameter)
    {
        (bool left, bool right) = Sides(parameter.Shape);
        TensorSpec small = new(new Shape(left ? Rank : parameter.Shape[0], right ? Rank : parameter.Shape[1]), DType.F32);
        return [small, small];
    }

    public void Update(TensorUpdateCall c)
    {
        Tape t = c.Tape;
        (bool left, bool right) = Sides(c.Parameter.Shape);
        Tensor? p = left ? t.Arena.Create<float>(new Shape(c.Parameter.Shape[0], Rank), Projector(c.Entry, true, c.Step), MemoryCategory.Workspace) : null;
        Tensor? q = right ? t.Arena.Create<float>(new Shape(Rank, c.Parameter.Shape[1]), Projector(c.Entry, false, c.Step), MemoryCategory.Workspace) : null;

        Tensor down = p is null ? c.Gradient : t.MatMul(p, c.Gradient, transposeA: true);
        down = q is null ? down : t.MatMul(down, q, transposeB: true);
        Tensor small = t.Arena.Zeros(down.Shape, DType.F32, MemoryCategory.Workspace);
        UpdateRules.Apply(Inner, small, down, [c.State(0), c.State(1)], c.LearningRate, 0, c.Step);
        Tensor up = p is null ? small : t.MatMul(p, small);
        up = q is null ? up : t.MatMul(up, q);

        Span<float> values = c.Parameter.AsSpan<float>();
        TensorPrimitives.MultiplyAdd(up.AsReadOnlySpan<float>(), (float)Scale, values, values);
        TensorPrimitives.Multiply(values, (float)(1 - (c.LearningRate * c.WeightDecay)), values);
    }
}
