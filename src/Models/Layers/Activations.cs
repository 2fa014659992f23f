using Graft.Runtime;

namespace Graft.Models.Layers;

/// <summary>Activation functions by the names of config.json.</summary>
public static class Activations
{
    /// <summary>Applies one.</summary>
    /// <exception cref="ConfigurationException">There is none of that name.</exception>
    public static Tensor Apply(Tape t, string name, Tensor x)
    {
        ArgumentNullException.ThrowIfNull(t);
        return name switch
        {
            "silu" => t.Silu(x),
            "gelu" => t.Gelu(x),
            "gelu_new" or "gelu_pytorch_tanh" => t.GeluTanh(x),
            "relu" => t.Relu(x),
            _ => throw new ConfigurationException($"Activation '{name}' is not built; there are silu, gelu, gelu_new, gelu_pytorch_tanh and relu."),
        };
    }
}
