using Graft.Runtime;

namespace Graft.Models.Layers;

/// <summary>A frozen weight kept in blocks of a GGUF file as they are stored: products read them directly, nothing is unpacked beforehand. On the CPU.</summary>
public sealed class QuantizedWeight : IWeight
{
    /// <summary>A weight on its codes.</summary>
    /// <param name="name">As in the checkpoint, with `.weight`.</param>
    /// <param name="codes">U8 (out, bytes of a row).</param>
    /// <param name="type">The blocks.</param>
    /// <param name="inputs">Input width.</param>
    public QuantizedWeight(string name, Tensor codes, BlockType type, int inputs)
    {
        ArgumentNullException.ThrowIfNull(codes);
        if (codes.Shape != type.Stored(codes.Shape[0], inputs))
        {
            throw new ShapeException($"'{name}': codes {codes} are not those of {inputs} columns in {type.Name()}.");
        }

        Name = name;
        Codes = codes;
        Type = type;
        In = inputs;
    }

    /// <summary>As in the checkpoint, with `.weight`.</summary>
    public string Name { get; }

    /// <summary>U8 (out, bytes of a row).</summary>
    public Tensor Codes { get; }

    /// <summary>The blocks.</summary>
    public BlockType Type { get; }

    /// <inheritdoc/>
    public int In { get; }

    /// <inheritdoc/>
    public int Out => Codes.Shape[0];

    /// <summary>None: it cannot be trained.</summary>
    public Parameter? Parameter => null;

    /// <inheritdoc/>
    public Tensor Forward(Tape t, Tensor x, Tensor? bias, LowRankBranch? branch)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.QuantizedLinear(x, Codes, Type, bias, branch?.U, branch?.B, branch?.Scale ?? 1);
    }

    /// <inheritdoc/>
    public Tensor Dense(Tape t)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Dequantize(Codes, Type);
    }

    /// <summary>Refuses: its values are its codes.</summary>
    /// <exception cref="ConfigurationException">Always.</exception>
    public void Store(ReadOnlySpan<float> values)
    {
        throw new ConfigurationException($"'{Name}' is quantised ({Type.Name()}) and cannot be overwritten; load the model with weights as bf16 or f32.");
    }
}
