using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>One tensor of a file of weights: what it is and where its bytes lie. Every value was checked against the file before the entry was made.</summary>
/// <param name="Name">The tensor's name, for example `model.layers.0.self_attn.q_proj.weight`.</param>
/// <param name="TypeName">The element type in the words of the file: `F32`, `BF16`, `F8_E4M3`, `Q4_1`, ...</param>
/// <param name="Type">The same as a <see cref="DType"/>, null where no tensor holds such elements (I16, I8, F8, quantised blocks).</param>
/// <param name="Shape">Axis lengths, outermost first.</param>
/// <param name="Offset">The first byte, counted from the start of the file.</param>
/// <param name="ByteCount">The number of bytes.</param>
public sealed record TensorEntry(string Name, string TypeName, DType? Type, Shape Shape, long Offset, long ByteCount);
