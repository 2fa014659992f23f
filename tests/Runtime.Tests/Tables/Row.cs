using System.Globalization;

namespace Graft.Runtime.Tests.Tables;

/// <summary>
/// One op with its arguments, the shapes it is tested at, and how exact it is. A row gives an op its tests, its benchmark and its line in docs/ops.md.
/// </summary>
internal abstract class Row
{
    private readonly Given[] _given;

    private protected Row(OpInfo info, string label, string[] shapes, Tolerance? tolerance, string? bench, Given[]? inputs)
    {
        Info = info;
        Label = label;
        Shapes = shapes;
        Tolerance = tolerance ?? new Tolerance();
        Bench = bench;
        _given = inputs ?? [];
    }

    public OpInfo Info { get; }

    /// <summary>The op with its arguments, as its record prints it.</summary>
    public string Label { get; }

    /// <summary>Shapes of all inputs, one string per case: `2x31,31`; a scalar is an empty string.</summary>
    public string[] Shapes { get; }

    public Tolerance Tolerance { get; }

    /// <summary>The shapes of the benchmark, if there is one.</summary>
    public string? Bench { get; }

    /// <summary>Why the gradient is not the derivative, where it is not meant to be; null elsewhere.</summary>
    public string? NotDerivative { get; private init; }

    /// <summary>False for quantised matrices (U8), which CUDA does not read yet.</summary>
    public bool OnCuda => _given.All(g => g.Type != DType.U8);

    public abstract bool HasGradient { get; }

    public abstract Type OpType { get; }

    /// <summary>
    /// A row of an op with a gradient. Shapes: `2x31,31` are (2, 31) and (31). Inputs are normal F32 numbers unless <paramref name="inputs"/> says
    /// otherwise, in order.
    /// </summary>
    /// <param name="op">The op with its arguments.</param>
    /// <param name="shapes">Shapes of all inputs, one string per case.</param>
    /// <param name="tol">How exact.</param>
    /// <param name="bench">The shapes of the benchmark.</param>
    /// <param name="inputs">What the inputs look like, in order.</param>
    /// <param name="notDerivative">Why the gradient is not the derivative, where the definition says so: then it is not compared with differences.</param>
    public static Row Of<TOp>(TOp op, string[] shapes, Tolerance? tol = null, string? bench = null, Given[]? inputs = null, string? notDerivative = null)
        where TOp : struct, IOp<TOp>
        => new Differentiable<TOp>(op, shapes, tol, bench, inputs) { NotDerivative = notDerivative };

    /// <summary>A row of an op without a gradient.</summary>
    public static Row Plain<TOp>(TOp op, string[] shapes, Tolerance? tol = null, string? bench = null, Given[]? inputs = null)
        where TOp : struct, INonDifferentiableOp<TOp>
        => new NonDifferentiable<TOp>(op, shapes, tol, bench, inputs);

    /// <summary>`5x1,1` as (5, 1) and (1).</summary>
    public static Shape[] Parse(string shapes) =>
        [.. shapes.Split(',').Select(s => s.Split('x', StringSplitOptions.RemoveEmptyEntries))
            .Select(axes => new Shape(Array.ConvertAll(axes, n => int.Parse(n, CultureInfo.InvariantCulture))))];

    public Given GivenOf(int input) => input < _given.Length ? _given[input] : Given.F32;

    /// <summary>The elements of all inputs, the same every time.</summary>
    public double[][] Draw(Shape[] shapes)
    {
        Rng rng = new Rng(2026).Stream(Label);
        return [.. Enumerable.Range(0, shapes.Length).Select(i => GivenOf(i).Elements(rng.Stream($"{i} {shapes[i]}"), shapes, i))];
    }

    /// <summary>The op itself; all outputs.</summary>
    public abstract Tensor[] Run(Tape t, Tensor[] x);

    /// <summary>Its reference from primitive ops; the first output.</summary>
    public abstract Tensor Reference(Tape t, Tensor[] x);

    public override string ToString() => Label;

    private sealed class Differentiable<TOp>(TOp op, string[] shapes, Tolerance? tol, string? bench, Given[]? inputs)
        : Row(TOp.Info, op.ToString()!, shapes, tol, bench, inputs)
        where TOp : struct, IOp<TOp>
    {
        public override bool HasGradient => true;

        public override Type OpType => typeof(TOp);

        public override Tensor[] Run(Tape t, Tensor[] x) => t.ApplyAll(op, x);

        public override Tensor Reference(Tape t, Tensor[] x) => TOp.Reference(op, t, x);
    }

    private sealed class NonDifferentiable<TOp>(TOp op, string[] shapes, Tolerance? tol, string? bench, Given[]? inputs)
        : Row(TOp.Info, op.ToString()!, shapes, tol, bench, inputs)
        where TOp : struct, INonDifferentiableOp<TOp>
    {
        public override bool HasGradient => false;

        public override Type OpType => typeof(TOp);

        public override Tensor[] Run(Tape t, Tensor[] x) => t.Evaluate(op, x);

        public override Tensor Reference(Tape t, Tensor[] x) => TOp.Reference(op, t, x);
    }
}
