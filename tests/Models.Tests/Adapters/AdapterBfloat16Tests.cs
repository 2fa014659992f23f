using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>Every recorded adapter with BF16 activations on CUDA: F32 factors, gains, gates and biases meet them everywhere that a method mixes the two.</summary>
[Category("CudaEmulator")]
[TestFixtureSource(typeof(AdapterFixture), nameof(AdapterFixture.Cases))]
public sealed class AdapterBfloat16Tests(string name)
{
    // Activations are rounded to 8 bits after every op: up to 2^-9 of each value, some 20 times over two layers, in sums of independent signs. Measured: logits within
    // 4.3 units of the largest value, 7.4 where a LoRA-GA base and its branch cancel each other; gradients within 15.2 units.
    private const double Unit = 1.0 / 256;
    private const double LogitTolerance = 10 * Unit;
    private const double LossTolerance = 2 * Unit;
    private const double GradientTolerance = 20 * Unit;

    [Test]
    public void Forward_and_gradients_agree_within_16_bits()
    {
        using CudaDevice device = CudaTestDevice.Open();
        using AdapterCase recorded = new(name, device: device, activations: DType.BF16);
        AttachedAdapter adapter = recorded.Load();
        Closeness.AssertClose("logits", recorded.Logits("recorded"), recorded.Recording.ReadFloats("logits"), LogitTolerance);
        if (adapter.Config is PissaConfig)
        {
            recorded.PutResidual();
        }

        double expected = recorded.Recording.ReadFloats("loss")[0];
        Assert.That(recorded.LossAndGradients("recorded"), Is.EqualTo(expected).Within(LossTolerance * Math.Abs(expected)));
        (string Name, AdapterParameter Parameter)[] entries = [.. AdapterHost.Entries(adapter)
            .Where(e => e.Parameter.Parameter.HasGradient && recorded.Recording.Tensors.ContainsKey("grad." + e.Name))];
        Assert.That(entries, Is.Not.Empty);
        HashSet<string> excluded = [.. recorded.Json.GetProperty("excluded_from_tolerance").EnumerateArray().Select(e => e.GetString()!)];
        double largest = entries.Max(e => Recorded(e.Name).Max(Math.Abs));
        foreach ((string key, AdapterParameter parameter) in entries.Where(e => !excluded.Contains("grad." + e.Name)))
        {
            Assert.That(parameter.Parameter.Gradient!.DType, Is.EqualTo(DType.F32), key);
            Closeness.AssertClose(key, parameter.Parameter.Gradient!.ToArray<float>(), Recorded(key), GradientTolerance, 0.1 * largest);
        }

        float[] Recorded(string key) => recorded.Recording.ReadFloats("grad." + key);
    }
}
