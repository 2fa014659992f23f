using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Layers;

/// <summary>A low-rank term that a linear layer can add without another pass over its output: y += scale · u · Bᵀ.</summary>
/// <param name="U">(..., R), of the type of the layer's input.</param>
/// <param name="B">(out, R) F32.</param>
/// <param name="Scale">Applied to the product.</param>
public readonly record struct LowRankBranch(Tensor U, Tensor B, float Scale);

/// <summary>The weight of a linear layer: dense here, quantised or masked elsewhere. Shapes are those of the maths: (out, in), however it is stored.</summary>
public interface IWeight
{
    /// <summary>Input width.</summary>
    int In { get; }

    /// <summary>Output width.</summary>
    int Out { get; }

    /// <summary>The parameter behind it; null where the stored form is not a float tensor.</summary>
    Parameter? Parameter { get; }

    /// <summary>x·Wᵀ (+ bias) (+ branch): x (..., in) to (..., out) of the same type.</summary>
    Tensor Forward(Tape t, Tensor x, Tensor? bias, LowRankBranch? branch);

    /// <summary>The weight as (out, in) F32 in the tape's arena; with its gradient where it is trainable.</summary>
    Tensor Dense(Tape t);

    /// <summary>Overwrites the weight by (out, in) F32 values, rounding once.</summary>
    void Store(ReadOnlySpan<float> values);
}

/// <summary>A weight stored as F32 or BF16, as (out, in) or, like GPT-2's, as (in, out).</summary>
public sealed class DenseWeight : IWeight
{
    private const int PieceElements = 1 << 20;

    /// <summary>A weight on a parameter of two axes.</summary>
    /// <param name="parameter">(out, in), or (in, out) where <paramref name="transposed"/>.</param>
    /// <param name="transposed">True for GPT-2's layout.</param>
    public DenseWeight(Parameter parameter, bool transposed = false)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        Parameter = parameter;
        InputFirst = transposed;
    }

    /// <inheritdoc/>
    public Parameter Parameter { get; }

    /// <summary>True where it is stored as (in, out), like GPT-2's.</summary>
    public bool InputFirst { get; }

    /// <inheritdoc/>
    public int In => Parameter.Shape[InputFirst ? 0 : 1];

    /// <inheritdoc/>
    public int Out => Parameter.Shape[InputFirst ? 1 : 0];

    Parameter? IWeight.Parameter => Parameter;

    /// <inheritdoc/>
    public Tensor Forward(Tape t, Tensor x, Tensor? bias, LowRankBranch? branch)
    {
        ArgumentNullException.ThrowIfNull(t);
        return branch is { } b
            ? t.LinearWithBranch(x, Parameter.Value, bias, b.U, b.B, b.Scale, InputFirst)
            : t.Linear(x, Parameter.Value, bias, InputFirst);
    }

    /// <inheritdoc/>
    public Tensor Dense(Tape t)
    {
        ArgumentNullException.ThrowIfNull(t);
        Tensor wide = t.Cast(Parameter.Value, DType.F32);
        return InputFirst ? t.Permute(wide, 1, 0) : wide;
    }

    /// <inheritdoc/>
    public void Store(ReadOnlySpan<float> values)
    {
        Tensor value = Parameter.Value;
        if (value.Shape.Count != values.Length)
        {
            throw new ShapeException($"{Parameter}: {values.Length} values cannot be stored in it.");
        }

        if (!value.Device.Computes)
        {
            return;
        }

        // Some rows of the stored matrix at a time, so that little host memory is needed beside the values.
        int height = value.Shape[0];
        int width = value.Shape[1];
        int rows = Math.Clamp(PieceElements / Math.Max(1, width), 1, Math.Max(1, height));
        float[] piece = new float[(long)rows * width];
        for (int start = 0; start < height; start += rows)
        {
            int count = Math.Min(rows, height - start);
            for (int i = 0; i < count * width; i++)
            {
                long row = start + (i / width);
                long column = i % width;
                piece[i] = values[(int)(InputFirst ? (column * In) + row : (row * In) + column)];
            }

            Span<float> done = piece.AsSpan(0, count * width);
            if (value.DType == DType.F32)
            {
                value.Write<float>(done, (long)start * width);
            }
            else
            {
                BFloat16[] rounded = new BFloat16[done.Length];
                ElementConversion.Round(done, rounded);
                value.Write<BFloat16>(rounded, (long)start * width);
            }
        }
    }
}
