namespace Graft.Runtime.Cpu;

/// <summary>How the elements of a product's operand are stored; each is read by an <see cref="IElementLoad"/> of its own.</summary>
internal enum OperandType : byte
{
    /// <summary>F32 (for <see cref="GemmDouble"/>, F64).</summary>
    F32,

    /// <summary>BF16.</summary>
    BF16,

    /// <summary>Blocks of <see cref="BlockType.Q40"/>.</summary>
    Q40,

    /// <summary>Blocks of <see cref="BlockType.Q41"/>.</summary>
    Q41,

    /// <summary>Blocks of <see cref="BlockType.Q80"/>.</summary>
    Q80,
}

/// <summary>The operand types of tensors.</summary>
internal static class OperandTypes
{
    /// <summary>How a tensor of this type is read.</summary>
    public static OperandType Of(DType type) => type == DType.BF16 ? OperandType.BF16 : OperandType.F32;

    /// <summary>How a tensor is read that may hold blocks.</summary>
    public static OperandType Of(DType type, BlockType blocks) => blocks switch
    {
        BlockType.Q40 => OperandType.Q40,
        BlockType.Q41 => OperandType.Q41,
        BlockType.Q80 => OperandType.Q80,
        _ => Of(type),
    };
}
