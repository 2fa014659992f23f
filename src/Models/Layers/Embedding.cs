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
        Weight = weight;
    }

    /// <summary>The module's path in the checkpoint.</summary>
    public string Name { get; }

    /// <summary>(V, C).</summary>
    public Parameter Weight { get; set; }

    /// <summary>The adapters on this table, by name.</summary>
    public AdapterSlots Adapters { get; } = new();

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
        return c.Tape.Embedding(Weight.Value, ids);
    }

    private Tensor Run(ForwardContext c, Tensor ids)
    {
        int depth = Adapters.Depth(c.Adapters);
        return depth == 0 ? Base(c, ids) : new EmbeddingCall(c, this, ids, depth).Outermost();
    }
}
