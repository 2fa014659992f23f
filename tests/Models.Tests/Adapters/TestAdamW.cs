using System.Text.Json;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>torch.optim.AdamW in F64, in its order of operations, with the options of a case.json.</summary>
internal sealed class TestAdamW(JsonElement options)
{
    private readonly Dictionary<Parameter, (double[] M, double[] V)> _state = [];
    private readonly double _rate = options.GetProperty("lr").GetDouble();
    private readonly double _beta1 = options.GetProperty("betas")[0].GetDouble();
    private readonly double _beta2 = options.GetProperty("betas")[1].GetDouble();
    private readonly double _epsilon = options.GetProperty("eps").GetDouble();
    private readonly double _decay = options.GetProperty("weight_decay").GetDouble();
    private int _step;

    public int Steps { get; } = options.GetProperty("steps").GetInt32();

    public void Update(IEnumerable<Parameter> parameters)
    {
        _step++;
        double correction1 = 1 - Math.Pow(_beta1, _step);
        double correction2 = Math.Sqrt(1 - Math.Pow(_beta2, _step));
        foreach (Parameter parameter in parameters.Where(p => p.HasGradient))
        {
            Span<float> p = parameter.Value.AsSpan<float>();
            ReadOnlySpan<float> g = parameter.Gradient!.AsReadOnlySpan<float>();
            if (!_state.TryGetValue(parameter, out (double[] M, double[] V) state))
            {
                state = (new double[p.Length], new double[p.Length]);
                _state.Add(parameter, state);
            }

            for (int i = 0; i < p.Length; i++)
            {
                double decayed = p[i] * (1 - (_rate * _decay));
                state.M[i] += (1 - _beta1) * (g[i] - state.M[i]);
                state.V[i] = (_beta2 * state.V[i]) + ((1 - _beta2) * g[i] * g[i]);
                p[i] = (float)(decayed - (_rate / correction1 * state.M[i] / ((Math.Sqrt(state.V[i]) / correction2) + _epsilon)));
            }

            parameter.ClearGradient();
        }
    }
}

/// <summary>A folder that ends with the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"graft-{Guid.NewGuid():N}");

    public void Dispose()
    {
        if (Directory.Exists(Path))
        {
            Directory.Delete(Path, true);
        }
    }
}
