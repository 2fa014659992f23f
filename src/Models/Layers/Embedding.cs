using Graft.Models.Adapters;
using Graft.Runtime;

namespace Graft.Models.Layers;

/// <summary>Rows of a table by token id, and the adapters attached to it.</summary>
public sealed class Embedding
{
    /// <summary>A table without adapters.</summary>
    /// <param name="name">The module's path in the checkpoint, e.g. `model.embed_tokens`.</param>
    /// <param name="weight">(V, C) F32 or BF16.</param>
    public Embedding(string name, Parameter weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        Name = name;
        Parameter = weight;
    }

    /// <summary>A quantised table, which adapters cannot act on.</summary>
    /// <param name="name">The module's path in the checkpoint.</param>
    /// <param name="quantized">(V, C) in blocks.</param>
    public Embedding(string name, QuantizedWeight quantized)
    {
        ArgumentNullException.ThrowIfNull(quantized);
        Name = name;
        Quantized = quantized;
    }

    /// <summary>The module's path in the checkpoint.</summary>
    public string Name { get; }

    /// <summary>(V, C); null where the table is quantised.</summary>
    public Parameter? Parameter { get; private set; }

    /// <summary>(V, C) in blocks; null where the table is a parameter.</summary>
    public QuantizedWeight? Quantized { get; }

    /// <summary>(V, C), for those who need numbers that can change.</summary>
    /// <exception cref="ConfigurationException">The table is quantised.</exception>
    public Parameter Weight
    {
        get => Parameter ?? throw new ConfigurationException(
            $"'{Name}' holds a quantised table, which cannot be adapted, trained or merged; load the model with weights as bf16 or f32 for that.");
        set => Parameter = value;
    }

    /// <summary>The adapters on this table, by name.</summary>
    public AdapterSlots Adapters { get; } = new();

    /// <summary>Whether a linear layer, a head, stands on the same matrix.</summary>
    public bool Shares(Linear linear)
    {
        ArgumentNullException.ThrowIfNull(linear);
        return Quantized is null ? linear.Weight.Parameter == Parameter : linear.Weight == Quantized;
    }

    /// <summary>ids (...) I32 to (..., C) F32, through the active adapters.</summary>
    public Tensor Forward(ForwardContext c, Tensor ids)
    {
        ArgumentNullException.ThrowIfNull(c);
        return Adapters.Differs(c.Adapters) ? c.Adapters.ByRow(c.Tape, ids, (part, active) => Forward(c.With(active), part)) : Run(c, ids);
    }

    /// <summary>ids (...) I32 to (..., C) F32 by the table alone.</summary>
    public Tensor Base(ForwardContext c, Tensor ids)
    {
        ArgumentNullException.ThrowIfNull(c);
        return Quantized is { } q ? c.Tape.QuantizedEmbedding(q.Codes, q.Type, ids) : c.Tape.Embedding(Weight.Value, ids);
    }

    private Tensor Run(ForwardContext c, Tensor ids)
    {
        int depth = Adapters.Depth(c.Adapters);
        return depth == 0 ? Base(c, ids) : new EmbeddingCall(c, this, ids, depth).Outermost();
    }
}
