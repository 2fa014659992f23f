using Graft.Runtime;
using TorchSharp;
using TorchParameter = TorchSharp.Modules.Parameter;

namespace Graft.Bench.Peers;

/// <summary>The peer's parameters: copies of ours by name, or drawn where there are none to copy (only memory is measured then).</summary>
internal sealed class TorchWeights : IDisposable
{
    private readonly Dictionary<string, Parameter>? _source;

    /// <summary>Parameters to be copied; null draws.</summary>
    public TorchWeights(IEnumerable<Parameter>? source)
    {
        // An adapter's parameter is named `adapter/module.key`.
        _source = source?.ToDictionary(p => p.Name[(p.Name.IndexOf('/', StringComparison.Ordinal) + 1)..], StringComparer.Ordinal);
    }

    /// <summary>All that were made.</summary>
    public List<TorchParameter> All { get; } = [];

    /// <summary>Those that are trained.</summary>
    public IEnumerable<TorchParameter> Trained => All.Where(p => p.requires_grad);

    /// <summary>A parameter of our name.</summary>
    /// <param name="name">Ours.</param>
    /// <param name="shape">Ours.</param>
    /// <param name="trained">Whether it gets a gradient.</param>
    /// <param name="initial">Deviation of what is drawn; 0 for ones.</param>
    /// <param name="transpose">True where the peer is better served by the transposed matrix.</param>
    public TorchParameter Take(string name, long[] shape, bool trained, double initial = 0.02, bool transpose = false)
    {
        torch.Tensor tensor;
        using (torch.NewDisposeScope())
        {
            if (_source is not null)
            {
                Parameter ours = _source[name];
                if (ours.Shape.Rank != shape.Length || Enumerable.Range(0, shape.Length).Any(i => ours.Shape[i] != shape[i]))
                {
                    throw new ShapeException($"{ours}: the peer expects ({string.Join(", ", shape)}).");
                }

                tensor = Torch.Create(ours.Value.AsReadOnlySpan<float>(), shape);
            }
            else
            {
                tensor = initial == 0 ? torch.ones(shape) : torch.randn(shape).mul_(initial);
            }

            tensor = (transpose ? tensor.t().contiguous() : tensor).MoveToOuterDisposeScope();
        }

        TorchParameter parameter = new(tensor, trained);
        All.Add(parameter);
        return parameter;
    }

    /// <summary>A vector of our name.</summary>
    public TorchParameter Vector(string name, long width, bool trained) => Take(name, [width], trained, 0);

    /// <inheritdoc/>
    public void Dispose() => All.ForEach(p => p.Dispose());
}
