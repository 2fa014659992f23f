using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>What tests of recorded adapters of PEFT share: which recordings there are, the open one, and comparisons with it.</summary>
public abstract class AdapterFixture
{
    private protected const string Active = "recorded";

    // Options that change the maths and are not built: reading them is an error that names them.
    private static readonly string[] s_notBuilt = ["alora_invocation_tokens", "kasa_config", "layer_replication", "target_parameters",
        "velora_config", "monteclora_config", "use_bdlora", "arrow_config"];

    private AdapterCase? _case;

    private Device _device = null!;

    private protected AdapterCase Case => _case!;

    /// <summary>The recordings of what is built.</summary>
    public static IEnumerable<string> Cases() => All().Where(c => Refusal(c) is null);

    /// <summary>The recordings of what is not: reading them is an error, and what it must name.</summary>
    public static IEnumerable<object[]> Refused() => All().Where(c => Refusal(c) is not null).Select(c => new object[] { c, Refusal(c)! });

    /// <summary>The device of the class; it ends with the class.</summary>
    protected abstract Device OpenDevice();

    [OneTimeSetUp]
    public void Begin() => _device = OpenDevice();

    [OneTimeTearDown]
    public void End() => _device?.Dispose();

    [TearDown]
    public void Close()
    {
        _case?.Dispose();
        _case = null;
    }

    private protected void Open(string name) => _case = new AdapterCase(name, device: _device);

    private static IEnumerable<string> All() => FixtureFolder.Cases("adapters")
        .Where(c => File.Exists(FixtureFolder.PathOf("adapters", c, PeftConfig.FileName)));

    // The type, the option, or the tensor of a head that is not built; null where all is.
    private static string? Refusal(string name)
    {
        JsonElement config = AdapterCase.Parse(FixtureFolder.PathOf("adapters", name, PeftConfig.FileName));
        string type = config.GetProperty("peft_type").GetString()!;
        string origin = AdapterCase.Parse(FixtureFolder.PathOf("adapters", name, "case.json")).GetProperty("base").GetString()!;
        return !AdapterTable.Rows.Any(r => r.PeftType == type) ? type
            : origin.EndsWith("classifier", StringComparison.Ordinal) ? "score.weight"
            : s_notBuilt.FirstOrDefault(k => config.TryGetProperty(k, out JsonElement v) && v.ValueKind is not (JsonValueKind.Null or JsonValueKind.False));
    }

    // The rounding of PyTorch's F32 decomposition is in the recorded gradients; our own decomposition is compared by logits, base and products.
    private protected void TakeRecordedResidual()
    {
        if (Case.Host[Active].Config is PissaConfig)
        {
            Case.PutResidual();
        }
    }

    private protected void Close(string what, float[] actual, string recorded, string tolerance)
    {
        Closeness.AssertClose(what, actual, Case.Recording.ReadFloats(recorded), Case.Tolerance(tolerance));
    }

    private protected void AssertLoss(string recorded, double actual, string tolerance)
    {
        double expected = Case.Recording.ReadFloats(recorded)[0];
        Assert.That(actual, Is.EqualTo(expected).Within(Case.Tolerance(tolerance) * Math.Abs(expected)), recorded);
    }

    // Every recorded tensor is compared, and nothing else has one.
    private protected void AssertAll(AttachedAdapter adapter, string prefix, string tolerance, Func<Parameter, float[]?> values)
    {
        HashSet<string> excluded = [.. Case.Json.GetProperty("excluded_from_tolerance").EnumerateArray().Select(e => e.GetString()!)];
        HashSet<Parameter> compared = [];
        (string Name, AdapterParameter Parameter)[] entries = [.. AdapterHost.Entries(adapter)];
        foreach (string recorded in Case.Recording.Tensors.Keys.Where(k => k.StartsWith(prefix, StringComparison.Ordinal) && k != "final.loss"))
        {
            AdapterParameter? parameter = entries.FirstOrDefault(e => e.Name == recorded[prefix.Length..]).Parameter;
            Assert.That(parameter, Is.Not.Null, $"{recorded} belongs to no parameter");
            float[]? actual = values(parameter!.Parameter);
            Assert.That(actual, Is.Not.Null, $"{recorded}: there is none");
            _ = compared.Add(parameter.Parameter);
            if (!excluded.Contains(recorded))
            {
                Close(recorded, actual!, recorded, tolerance);
            }
        }

        Assert.That(compared, Is.Not.Empty);
        Assert.That(adapter.Parameters.Where(p => !compared.Contains(p.Parameter) && values(p.Parameter) is not null).Select(p => p.Parameter.Name),
            Is.Empty, "not recorded");
    }
}
