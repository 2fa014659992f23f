namespace Graft.Runtime;

/// <summary>What a tensor looks like before it has memory.</summary>
/// <param name="Shape">Axis lengths.</param>
/// <param name="DType">Element type.</param>
public readonly record struct TensorSpec(Shape Shape, DType DType)
{
    /// <summary>Bytes of the elements alone, without an arena's rounding.</summary>
    public long Bytes => Shape.Count * DType.Size();

    /// <summary>As in messages: `(8, 1024) f32`.</summary>
    public override string ToString() => $"{Shape} {DType.Name()}";
}
