using Graft.Models.Adapters;
using Graft.Runtime;

namespace Graft.Models.Layers;

/// <summary>The one linear layer: an abstract weight, an optional bias, and the adapters attached to it. Which of them act is said by the forward's context.</summary>
public sealed class Linear
{
    /// <summary>A layer without adapters.</summary>
    /// <param name="name">The module's path in the checkpoint, e.g. `model.layers.0.self_attn.q_proj`.</param>
    /// <param name="weight">Its weight.</param>
    /// <param name="bias">(out); null for none.</param>
    public Linear(string name, IWeight weight, Parameter? bias = null)
    {
        ArgumentNullException.ThrowIfNull(weight);
        Name = name;
        Weight = weight;
        Bias = bias;
    }

    /// <summary>The module's path in the checkpoint.</summary>
    public string Name { get; }

    /// <summary>The weight; replaced by quantising or masking.</summary>
    public IWeight Weight { get; set; }

    /// <summary>(out); null for none.</summary>
    public Parameter? Bias { get; set; }

    /// <summary>Input width.</summary>
    public int In => Weight.In;

    /// <summary>Output width.</summary>
    public int Out => Weight.Out;

    /// <summary>The adapters on this layer, by name.</summary>
    public AdapterSlots Adapters { get; } = new();

    /// <summary>(..., in) to (..., out), through the active adapters.</summary>
    public Tensor Forward(ForwardContext c, Tensor x)
    {
        ArgumentNullException.ThrowIfNull(c);
        return Adapters.Differs(c.Adapters) ? c.Adapters.ByRow(c.Tape, x, (part, active) => Forward(c.With(active), part)) : Run(c, x);
    }

    /// <summary>(..., in) to (..., out) by the weight and bias alone.</summary>
    public Tensor Base(ForwardContext c, Tensor x, LowRankBranch? branch = null)
    {
        ArgumentNullException.ThrowIfNull(c);
        return Weight.Forward(c.Tape, x, Bias?.Value, branch);
    }

    private Tensor Run(ForwardContext c, Tensor x)
    {
        int depth = Adapters.Depth(c.Adapters);
        return depth == 0 ? Base(c, x) : new LinearCall(c, this, x, depth).Outermost();
    }
}
