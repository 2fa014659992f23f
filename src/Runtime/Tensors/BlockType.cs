namespace Graft.Runtime;

/// <summary>How the rows of a quantised matrix are stored: blocks of 32 elements with a scale each, in ggml's layouts. The matrix is a U8 tensor (rows, bytes of a row).</summary>
public enum BlockType : byte
{
    /// <summary>Not quantised.</summary>
    None,

    /// <summary>ggml's Q4_0, 18 bytes: F16 d, 16 bytes of codes (low halves are the elements 0..15, high halves 16..31); an element is d·(q - 8).</summary>
    Q40,

    /// <summary>ggml's Q4_1, 20 bytes: F16 d, F16 m, 16 bytes of codes as in <see cref="Q40"/>; an element is d·q + m.</summary>
    Q41,

    /// <summary>ggml's Q8_0, 34 bytes: F16 d, 32 signed bytes; an element is d·q.</summary>
    Q80,
}

/// <summary>Sizes and names of <see cref="BlockType"/> values.</summary>
public static class BlockTypeExtensions
{
    /// <summary>Elements of a block.</summary>
    public const int BlockElements = 32;

    /// <summary>Bytes of a block; 0 for <see cref="BlockType.None"/>.</summary>
    public static int BlockBytes(this BlockType type) => type switch
    {
        BlockType.Q40 => 18,
        BlockType.Q41 => 20,
        BlockType.Q80 => 34,
        _ => 0,
    };

    /// <summary>ggml's name: `Q4_0`, `Q4_1`, `Q8_0`; `none`.</summary>
    public static string Name(this BlockType type) => type switch
    {
        BlockType.Q40 => "Q4_0",
        BlockType.Q41 => "Q4_1",
        BlockType.Q80 => "Q8_0",
        _ => "none",
    };

    /// <summary>The type of ggml's name; <see cref="BlockType.None"/> for every other name.</summary>
    public static BlockType Parse(string name) => name switch
    {
        "Q4_0" => BlockType.Q40,
        "Q4_1" => BlockType.Q41,
        "Q8_0" => BlockType.Q80,
        _ => BlockType.None,
    };

    /// <summary>The stored shape of a matrix of so many rows and columns, in bytes.</summary>
    /// <exception cref="ShapeException">A row is not made of whole blocks.</exception>
    public static Shape Stored(this BlockType type, int rows, int columns)
    {
        return columns % BlockElements == 0
            ? new Shape(rows, checked(columns / BlockElements * type.BlockBytes()))
            : throw new ShapeException($"A row of {columns} elements is not made of whole blocks of {BlockElements}, as {type.Name()} needs.");
    }

    /// <summary>The elements of a stored row of so many bytes; -1 where they are not whole blocks.</summary>
    internal static int Columns(this BlockType type, int bytes) => bytes % type.BlockBytes() == 0 ? bytes / type.BlockBytes() * BlockElements : -1;
}
