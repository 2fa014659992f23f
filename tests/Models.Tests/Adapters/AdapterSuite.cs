using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>Every recorded adapter of PEFT: logits, loss, gradients, merged weights.</summary>
/// <remarks>One suite, one class per device: <see cref="AdapterFixtureTests"/> on the CPU, <see cref="AdapterCudaTests"/> on CUDA.</remarks>
/// <param name="name">The folder of the recording.</param>
public abstract class AdapterSuite(string name)
{
    private protected const string Active = "recorded";

    // Options that change the maths and are not built: reading them is an error that names them.
    private static readonly string[] s_notBuilt = ["alora_invocation_tokens", "kasa_config", "layer_replication", "target_parameters",
        "velora_config", "monteclora_config", "use_bdlora", "arrow_config"];

    private AdapterCase? _case;

    private protected AdapterCase Case => _case!;

    private Device _device = null!;

    public static IEnumerable<string> Cases() => FixtureFolder.Cases("adapters")
        .Where(c => File.Exists(FixtureFolder.PathOf("adapters", c, PeftConfig.FileName)));

    /// <summary>The device of the class; it ends with the class.</summary>
    protected abstract Device OpenDevice();

    [OneTimeSetUp]
    public void Begin() => _device = OpenDevice();

    [OneTimeTearDown]
    public void End() => _device?.Dispose();

    [SetUp]
    public void Open()
    {
        string folder = FixtureFolder.PathOf("adapters", name);
        JsonElement config = AdapterCase.Parse(Path.Combine(folder, PeftConfig.FileName));
        if (WhyNot(name, config, options: false) is { } reason)
        {
            Assert.Ignore(reason);
        }

        _case = new AdapterCase(name, device: _device);
        if (NotBuilt(config) is { } option)
        {
            Assert.That(() => Case.Load(), Throws.TypeOf<CheckpointException>().With.Message.Contains(option));
            Assert.Ignore($"{option} is not built, and refused by name");
        }
    }

    [TearDown]
    public void Close()
    {
        _case?.Dispose();
        _case = null;
    }

    [Test]
    public void Forward_and_gradients_agree()
    {
        AttachedAdapter adapter = Case.Load();
        Assert.That(adapter.Warnings, Is.Empty);
        Assert.That(adapter.TrainableCount, Is.EqualTo(Case.Json.GetProperty("trainable").GetInt64()), "trained numbers");
        Close("logits", Case.Logits(Active), "logits", "logits");
        TakeRecordedResidual();
        double loss = Case.LossAndGradients(Active);
        AssertLoss("loss", loss, "loss");
        AssertAll(adapter, "grad.", "grad", p => p.HasGradient ? p.Gradient!.ToArray<float>() : null);
        float[][] kept = Gradients();
        Assert.That(Case.LossAndGradients(Active, checkpointing: true), Is.EqualTo(loss), "layers run again in backward");
        Assert.That(Gradients(), Is.EqualTo(kept));
        Assert.That(Case.Model.Parameters.Where(p => p.HasGradient && !adapter.Parameters.Any(a => a.Parameter == p)), Is.Empty, "gradients of the base");

        float[][] Gradients() => [.. adapter.Parameters.Where(p => p.Parameter.HasGradient).Select(p => p.Parameter.Gradient!.ToArray<float>())];
    }

    [Test]
    public void Merging_agrees_and_unmerging_restores_all_bits()
    {
        _ = Case.Load();
        Dictionary<string, float[]> before = Case.Model.Parameters.ToDictionary(p => p.Name, p => p.Value.ToArray<float>());
        float[] attached = Case.Logits(Active);
        bool mergesAlike = Case.Json.TryGetProperty("merged_equals_adapter", out JsonElement equal) && equal.GetBoolean();
        if (!mergesAlike)
        {
            // PEFT changes both sides of a tied pair; we refuse, or give the changed side a weight of its own.
            Assert.That(() => Case.Host.Merge([Active]), Throws.TypeOf<NotMergeableException>());
            Assert.That(Case.Logits(Active), Is.EqualTo(attached), "a refused merge changes nothing");
        }

        Case.Host.Merge([Active], untie: !mergesAlike);
        float[] merged = Case.Logits();
        Closeness.AssertClose("merged against attached", merged, attached, Case.Tolerance("logits"));
        Assert.That(Case.Logits(Active), Is.EqualTo(merged), "a merged adapter does not act twice");
        if (mergesAlike)
        {
            Close("merged.logits", merged, "merged.logits", "merged");
            foreach (Parameter parameter in Case.Model.Parameters.Where(p => Case.Recording.Tensors.ContainsKey("merged." + p.Name)))
            {
                Close("merged." + parameter.Name, parameter.Value.ToArray<float>(), "merged." + parameter.Name, "merged");
            }
        }

        Case.Host.Merge([Active], untie: !mergesAlike);
        Assert.That(Case.Logits(), Is.EqualTo(merged), "merging twice");
        Case.Host.Unmerge();
        Assert.That(Case.Logits(Active), Is.EqualTo(attached));
        foreach (Parameter parameter in Case.Model.Parameters)
        {
            Assert.That(parameter.Value.ToArray<float>(), Is.EqualTo(before[parameter.Name]), parameter.Name);
        }
    }

    /// <summary>Why a case cannot run; null where it can.</summary>
    internal static string? WhyNot(string name, JsonElement config, bool options = true)
    {
        string type = config.GetProperty("peft_type").GetString()!;
        JsonElement recorded = AdapterCase.Parse(FixtureFolder.PathOf("adapters", name, "case.json"));
        return !AdapterTable.Rows.Any(r => r.PeftType == type) ? $"adapter type {type} is not built yet"
            : recorded.GetProperty("base").GetString()!.EndsWith("classifier", StringComparison.Ordinal) ? "the head for sequence classification is not built"
            : options && NotBuilt(config) is { } option ? $"{option} is not built, and refused by name"
            : null;
    }

    private static string? NotBuilt(JsonElement config)
    {
        return s_notBuilt.FirstOrDefault(k => config.TryGetProperty(k, out JsonElement v) && v.ValueKind is not (JsonValueKind.Null or JsonValueKind.False));
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
