using System.Diagnostics.CodeAnalysis;

namespace Graft.Runtime;

/// <summary>The inputs' specs going in; outputs, saved tensors and workspace coming out.</summary>
public ref struct InferCall
{
    /// <summary>The most outputs, and the most saved tensors, of one op.</summary>
    public const int Limit = 8;

    private readonly ReadOnlySpan<Tensor> _inputs;
    private readonly Span<TensorSpec> _outputs;
    private readonly Span<TensorSpec> _saved;

    internal InferCall(OpInfo info, ReadOnlySpan<Tensor> inputs, Span<TensorSpec> outputs, Span<TensorSpec> saved, Needs needs, DeviceKind plans)
    {
        Info = info;
        Plans = plans;
        _inputs = inputs;
        _outputs = outputs;
        _saved = saved;
        Needs = needs;
        if (inputs.Length < info.Inputs)
        {
            Fail($"{inputs.Length} inputs were given, {info.Inputs} are needed");
        }
    }

    /// <summary>Which inputs will need a gradient; none where nothing is recorded. An op may save more, or less, by it.</summary>
    public Needs Needs { get; }

    /// <summary>The device that will compute: the tape's, or the one that a meta device plans for. Workspace that only one device needs is declared by it.</summary>
    public DeviceKind Plans { get; }

    /// <summary>How many inputs were given.</summary>
    public readonly int Count => _inputs.Length;

    internal OpInfo Info { get; }

    internal int OutputCount { get; private set; }

    internal int SavedCount { get; private set; }

    internal long WorkspaceBytes { get; private set; }

    /// <summary>Shape and dtype of an input.</summary>
    public readonly TensorSpec Input(int i) => _inputs[i].Spec;

    /// <summary>The shape of an input.</summary>
    public readonly Shape Shape(int i) => _inputs[i].Shape;

    /// <summary>Declares the next output.</summary>
    public void Output(Shape shape, DType dtype) => _outputs[OutputCount++] = new TensorSpec(shape, dtype);

    /// <summary>Declares the next tensor that forward writes for backward. It is freed at once where nothing is recorded or <c>Saves</c> does not name it.</summary>
    public void Save(Shape shape, DType dtype) => _saved[SavedCount++] = new TensorSpec(shape, dtype);

    /// <summary>Declares bytes of scratch that live while forward runs.</summary>
    public void Workspace(long bytes) => WorkspaceBytes += bytes;

    /// <summary>Fails with a <see cref="ShapeException"/> unless the condition holds.</summary>
    public readonly void Require([DoesNotReturnIf(false)] bool condition, string needed)
    {
        if (!condition)
        {
            Fail(needed);
        }
    }

    /// <summary>Fails with a <see cref="DTypeException"/> unless the input has one of the dtypes.</summary>
    public readonly void RequireType(int i, DType first, DType? second = null, DType? third = null)
    {
        DType given = _inputs[i].DType;
        if (given != first && given != second && given != third)
        {
            string allowed = first.Name() + (second is { } s ? $", {s.Name()}" : "") + (third is { } t ? $", {t.Name()}" : "");
            throw new DTypeException($"{Info.Name}: input {i} must be {allowed}; given {Describe()}.");
        }
    }

    /// <summary>Fails with a <see cref="DTypeException"/> unless the input is the U8 tensor of a quantised matrix and the device reads such, which is the CPU only so far.</summary>
    /// <param name="i">Which input.</param>
    /// <param name="type">Its blocks.</param>
    internal readonly void RequireBlocks(int i, BlockType type)
    {
        RequireType(i, DType.U8);
        if (Plans != DeviceKind.Cpu)
        {
            throw new DTypeException($"{Info.Name}: quantised weights ({type.Name()}) are read on the cpu only; load the model's weights as bf16 or f32 for another device.");
        }

        Require(Shape(i).Rank == 2 && type.Columns(Shape(i)[1]) >= 0, $"the quantised matrix must be (rows, bytes), a row of whole blocks of {type.BlockBytes()} bytes");
    }

    /// <summary>Fails with a <see cref="DTypeException"/> unless the input is an activation that the device computes on: F32 or F64 on the CPU, F32 or BF16 on CUDA.</summary>
    /// <param name="i">Which input.</param>
    /// <param name="doubles">False where the CPU has no F64 kernel.</param>
    public readonly void RequireActivation(int i, bool doubles = true)
        => RequireType(i, DType.F32, Plans == DeviceKind.Cuda ? DType.BF16 : doubles ? DType.F64 : null);

    /// <summary>Raises a <see cref="ShapeException"/> that says what is needed and what was given.</summary>
    [DoesNotReturn]
    public readonly void Fail(string needed) => throw new ShapeException($"{Info.Name}: {needed} (given {Describe()}).");

    private readonly string Describe()
    {
        string[] parts = new string[_inputs.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            parts[i] = _inputs[i].Name is { } name ? $"{name} {_inputs[i].Spec}" : _inputs[i].Spec.ToString();
        }

        return parts.Length == 0 ? "no inputs" : string.Join(", ", parts);
    }
}
