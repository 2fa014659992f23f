using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>The negative log-likelihood of labels under softmax(logits), one loss per row: (1 - ε) w_t (lse - x_t) + ε/V · Σ_c w_c (lse - x_c).</summary>
/// <remarks>
/// logits (..., V) F32 (BF16 on CUDA), labels (...) I32, optional class weights w (V) F32 → loss (...) F32; rows with the ignored label have loss and gradient 0.
/// Saves the log-sum-exp of each row and recomputes probabilities in backward. The sum over rows is divided by the caller, so that micro-batches add up to one big batch.
/// </remarks>
/// <param name="Smoothing">ε of label smoothing (Szegedy et al. 2015, arXiv:1512.00567), from 0 to below 1.</param>
/// <param name="IgnoreIndex">The label of rows that do not count; -100 by convention.</param>
public readonly record struct CrossEntropy(float Smoothing, int IgnoreIndex) : IOp<CrossEntropy>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("cross_entropy", 2);

    /// <inheritdoc/>
    public static void Infer(in CrossEntropy op, ref InferCall c)
    {
        c.RequireActivation(0, doubles: false);
        c.RequireType(1, DType.I32);
        Shape logits = c.Shape(0);
        c.Require(logits.Rank > 0 && logits.WithoutLast() == c.Shape(1), "there must be one label for each row of logits");
        c.Require(op.Smoothing is >= 0 and < 1, $"label smoothing must be at least 0 and below 1, not {op.Smoothing}");
        if (c.Count > 2)
        {
            c.RequireType(2, DType.F32);
            c.Require(c.Shape(2) == new Shape(logits.Last), $"there must be one weight for each of the {logits.Last} classes");
            c.Require(!c.Needs[2], "class weights are constants: detach them");
        }

        c.Output(c.Shape(1), DType.F32);
        c.Save(c.Shape(1), DType.F32);
    }

    /// <inheritdoc/>
    public static Tensor Reference(in CrossEntropy op, Tape t, ReadOnlySpan<Tensor> x)
    {
        Shape shape = x[0].Shape;
        double[] target = [];
        if (t.Device.Kind != DeviceKind.Meta)
        {
            int classes = shape.Last;
            target = new double[shape.Count];
            ReadOnlySpan<int> labels = Labels(op, x[1], classes);
            for (int i = 0; i < target.Length; i++)
            {
                int label = labels[i / classes];
                double own = i % classes == label ? 1 - (double)op.Smoothing : 0;
                double weight = x.Length < 3 ? 1 : x[2].DType == DType.F64 ? x[2].AsReadOnlySpan<double>()[i % classes] : x[2].AsReadOnlySpan<float>()[i % classes];
                target[i] = label == op.IgnoreIndex ? 0 : (own + ((double)op.Smoothing / classes)) * weight;
            }
        }

        Tensor log = LogSoftmax.Reference(default, t, [x[0]]);
        return t.Neg(t.Sum(t.Mul(HostConstants.Create(t, shape, x[0].DType, target), log), -1));
    }

    /// <inheritdoc/>
    public static Saves Saves(in CrossEntropy op, Needs needs) => Runtime.Saves.Everything with { Outputs = 0 };

    /// <inheritdoc/>
    public static void Forward(in CrossEntropy op, CpuCall c)
    {
        Shape shape = c.Input(0).Shape;
        ReadOnlySpan<int> labels = Labels(op, c.Input(1), shape.Last);
        CrossEntropyKernel.Forward(
            c.Team, labels.Length, shape.Last, c.Input(0).AsReadOnlySpan<float>(), labels, c.Count > 2 ? c.Input(2).AsReadOnlySpan<float>() : [],
            new CrossEntropyOptions(op.Smoothing, op.IgnoreIndex), c.Output.AsSpan<float>(), c.Saved().AsSpan<float>());
    }

    /// <inheritdoc/>
    public static void Forward(in CrossEntropy op, CudaCall c) => SoftmaxCuda.CrossEntropy(c, op);

    /// <inheritdoc/>
    public static void Backward(in CrossEntropy op, BackwardCall c)
    {
        if (!c.Needs(0))
        {
            return;
        }

        GradientMemory dx = GradientMemory.Open(c, 0);
        if (c.OnCpu)
        {
            ReadOnlySpan<int> labels = c.Input(1).AsReadOnlySpan<int>();
            CrossEntropyKernel.Backward(
                c.Team, labels.Length, dx.Tensor!.Shape.Last, c.Input(0).AsReadOnlySpan<float>(), labels, c.Count > 2 ? c.Input(2).AsReadOnlySpan<float>() : [],
                new CrossEntropyOptions(op.Smoothing, op.IgnoreIndex), c.Saved().AsReadOnlySpan<float>(), c.OutputGradient.AsReadOnlySpan<float>(), dx.Tensor.AsSpan<float>());
        }
        else if (c.OnCuda)
        {
            SoftmaxCuda.CrossEntropyBackward(c, op, dx);
        }

        dx.Close(c);
    }

    private static ReadOnlySpan<int> Labels(in CrossEntropy op, Tensor tensor, int classes)
    {
        ReadOnlySpan<int> labels = tensor.AsReadOnlySpan<int>();
        for (int i = 0; i < labels.Length; i++)
        {
            if ((uint)labels[i] >= (uint)classes && labels[i] != op.IgnoreIndex)
            {
                throw new GraftException($"cross_entropy: label {labels[i]} of row {i} is neither one of the {classes} classes nor the ignored label {op.IgnoreIndex}.");
            }
        }

        return labels;
    }
}

/// <summary><see cref="Runtime.CrossEntropy"/> on a tape.</summary>
public static class CrossEntropyExtensions
{
    extension(Tape t)
    {
        /// <summary>One loss per row of logits (..., V) for labels (...) I32; see <see cref="Runtime.CrossEntropy"/>.</summary>
        public Tensor CrossEntropy(Tensor logits, Tensor labels, Tensor? weights = null, float smoothing = 0, int ignoreIndex = -100)
        {
            CrossEntropy op = new(smoothing, ignoreIndex);
            return weights is null ? t.Apply(op, logits, labels) : t.Apply(op, logits, labels, weights);
        }
    }
}
