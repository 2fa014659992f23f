namespace Graft.Runtime;

/// <summary>A stored row-major matrix in device memory, as an operand or the result of a product.</summary>
/// <param name="Address">Of the first element.</param>
/// <param name="DType">F32 or BF16.</param>
/// <param name="Rows">As stored.</param>
/// <param name="Columns">As stored.</param>
/// <param name="Leading">Elements from one row to the next.</param>
/// <param name="Transposed">The product reads it with rows and columns exchanged.</param>
/// <param name="Stride">Elements from one matrix of a batch to the next; 0 shares it.</param>
internal readonly record struct CudaMatrix(nint Address, DType DType, int Rows, int Columns, long Leading, bool Transposed = false, long Stride = 0)
{
    public int InnerLength => Transposed ? Rows : Columns;

    public static CudaMatrix Of(in Matrix m) => new(m.Tensor.DevicePointer(), m.DType, m.Rows, m.Columns, m.Columns, m.Transposed, m.Stride);

    /// <summary>Rows from <paramref name="start"/> on.</summary>
    public CudaMatrix Part(int start, int rows) => this with { Address = Address + (nint)(start * Leading * DType.Size()), Rows = rows };

    /// <summary>The same matrix turned round.</summary>
    public CudaMatrix Turned() => this with { Transposed = !Transposed };
}
