using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>Every recorded adapter of PEFT: logits, loss, gradients, five optimizer steps, merged weights, the start, the files.</summary>
[Category("Fixtures")]
[TestFixtureSource(nameof(Cases))]
public sealed class AdapterFixtureTests(string name)
{
    private const string Active = "recorded";

    // Options that change the maths and are not built: reading them is an error that names them.
    private static readonly string[] s_notBuilt = ["alora_invocation_tokens", "kasa_config", "layer_replication", "target_parameters",
        "velora_config", "monteclora_config", "use_bdlora", "arrow_config"];

    private AdapterCase? _case;

    private AdapterCase Case => _case!;

    public static IEnumerable<string> Cases() => FixtureFolder.Cases("adapters")
        .Where(c => File.Exists(FixtureFolder.PathOf("adapters", c, PeftConfig.FileName)));

    [SetUp]
    public void Open()
    {
        string folder = FixtureFolder.PathOf("adapters", name);
        JsonElement config = AdapterCase.Parse(Path.Combine(folder, PeftConfig.FileName));
        string type = config.GetProperty("peft_type").GetString()!;
        if (!AdapterTable.Rows.Any(r => r.PeftType == type))
        {
            Assert.Ignore($"adapter type {type} is not built yet");
        }

        if (AdapterCase.Parse(Path.Combine(folder, "case.json")).GetProperty("base").GetString()!.EndsWith("classifier", StringComparison.Ordinal))
        {
            Assert.Ignore("the head for sequence classification is not built");
        }

        _case = new AdapterCase(name);
        if (s_notBuilt.FirstOrDefault(k => config.TryGetProperty(k, out JsonElement v)
            && v.ValueKind is not (JsonValueKind.Null or JsonValueKind.False)) is { } option)
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
    public void Five_steps_of_AdamW_agree()
    {
        if (!Case.Recording.Tensors.ContainsKey("final.loss"))
        {
            Assert.Ignore("the recording holds no steps");
        }

        AttachedAdapter adapter = Case.Load();
        TakeRecordedResidual();
        Parameter[] trained = [.. adapter.Parameters.Select(p => p.Parameter).Where(p => p.Trainable)];
        Dictionary<string, float[]> before = Case.Model.Parameters.Where(p => !trained.Contains(p)).ToDictionary(p => p.Name, p => p.Value.ToArray<float>());
        TestAdamW optimizer = new(Case.Json.GetProperty("optimizer"));
        for (int step = 0; step < optimizer.Steps; step++)
        {
            AssertLoss($"step{step}.loss", Case.LossAndGradients(Active), "steps");
            optimizer.Update(trained);
            Case.Host.AfterStep(new AdapterStep(step + 1, optimizer.Steps));
        }

        AssertAll(adapter, "final.", "final", p => p.Trainable ? p.Value.ToArray<float>() : null);
        AssertLoss("final.loss", Case.LossAndGradients(Active), "steps");
        foreach (Parameter parameter in Case.Model.Parameters.Where(p => before.ContainsKey(p.Name)))
        {
            Assert.That(parameter.Value.ToArray<float>(), Is.EqualTo(before[parameter.Name]), $"{parameter.Name} is frozen");
        }
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

    [Test]
    public void The_start_agrees_where_it_is_determined()
    {
        List<string> warnings = [];
        AdapterConfig config = PeftConfig.Parse(AdapterCase.Parse(Path.Combine(Case.Folder, PeftConfig.FileName)), Case.Folder, warnings, null,
            Case.HoldsResidual);
        if (config is not (DoraConfig or PissaConfig or VeraConfig) || !Case.Recording.Tensors.Keys.Any(k => k.StartsWith("init.", StringComparison.Ordinal)))
        {
            Assert.Ignore("the recording determines no start");
        }

        float[] plain = Case.Logits();
        AttachedAdapter adapter = Case.Host.Attach(Active, config, new Rng(1));
        Closeness.AssertClose("the start against the base", Case.Logits(Active), plain, Case.Tolerance("logits"));
        int compared = 0;
        foreach ((string key, AdapterParameter parameter) in AdapterHost.Entries(adapter))
        {
            if (parameter.Role is AdapterRole.Magnitude or AdapterRole.Gate && Case.Recording.Tensors.ContainsKey("init." + key))
            {
                Close("init." + key, parameter.Value.ToArray<float>(), "init." + key, "final");
                compared++;
            }
        }

        if (config is PissaConfig)
        {
            Case.Host.Detach(Active);
            Assert.That(Case.Logits(), Is.EqualTo(plain), "detaching restores the base");
            adapter = Case.Host.Attach(Active, config, new Rng(1));
            foreach (Parameter parameter in Case.Model.Parameters.Where(p => Case.Recording.Tensors.ContainsKey("initbase." + p.Name)))
            {
                Close("initbase." + parameter.Name, parameter.Value.ToArray<float>(), "initbase." + parameter.Name, "merged");
                compared++;
            }
        }

        Assert.That(compared, Is.GreaterThan(0));
    }

    [Test]
    public void Saving_gives_the_files_of_PEFT_and_reads_back()
    {
        AttachedAdapter adapter = Case.Load();
        float[] logits = Case.Logits(Active);
        using TemporaryFolder folder = new();
        Case.Host.Save(Active, folder.Path);
        AssertSameTensors(Path.Combine(folder.Path, "adapter_model.safetensors"), Path.Combine(Case.Folder, "adapter_model.safetensors"));
        if (!Case.HoldsResidual)
        {
            AssertSameConfig(Path.Combine(folder.Path, PeftConfig.FileName), Path.Combine(Case.Folder, PeftConfig.FileName));
        }

        Case.Host.Detach(Active);
        AttachedAdapter again = Case.Host.Load(folder.Path, Active);
        Assert.That(again.Config with { OtherKeys = adapter.Config.OtherKeys }, Is.EqualTo(adapter.Config));
        Assert.That(Case.Logits(Active), Is.EqualTo(logits));
    }

    [Test]
    public void The_plain_form_agrees()
    {
        string plain = Path.Combine(Case.Folder, "plain");
        if (!Directory.Exists(plain))
        {
            Assert.Ignore("the case has no plain form");
        }

        _ = Case.Load();
        using TemporaryFolder folder = new();
        bool ours = Case.Host[Active].Config is PissaConfig;
        if (ours)
        {
            Case.Host.SavePlain(Active, folder.Path);
        }

        // On the base as it was before any initialisation.
        using AdapterCase fresh = new(name, unchanged: true);
        _ = fresh.Load("plain", "theirs");
        Close("logits of plain/", fresh.Logits("theirs"), "logits", "logits");
        if (ours)
        {
            _ = fresh.Host.Load(folder.Path, "ours");
            Close("logits of our plain form", fresh.Logits("ours"), "logits", "logits");
        }
    }

    // The rounding of PyTorch's F32 decomposition is in the recorded gradients; our own decomposition is compared by logits, base and products.
    private void TakeRecordedResidual()
    {
        if (Case.Host[Active].Config is PissaConfig)
        {
            Case.PutResidual();
        }
    }

    private void Close(string what, float[] actual, string recorded, string tolerance)
    {
        Closeness.AssertClose(what, actual, Case.Recording.ReadFloats(recorded), Case.Tolerance(tolerance));
    }

    private void AssertLoss(string recorded, double actual, string tolerance)
    {
        double expected = Case.Recording.ReadFloats(recorded)[0];
        Assert.That(actual, Is.EqualTo(expected).Within(Case.Tolerance(tolerance) * Math.Abs(expected)), recorded);
    }

    // Every recorded tensor is compared, and nothing else has one.
    private void AssertAll(AttachedAdapter adapter, string prefix, string tolerance, Func<Parameter, float[]?> values)
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

    private static void AssertSameTensors(string ours, string theirs)
    {
        using SafeTensorsFile a = SafeTensorsFile.Open(ours);
        using SafeTensorsFile b = SafeTensorsFile.Open(theirs);
        Assert.That(a.Tensors.Keys.Order(StringComparer.Ordinal), Is.EqualTo(b.Tensors.Keys.Order(StringComparer.Ordinal)));
        Assert.That(a.Metadata, Is.EquivalentTo(b.Metadata));
        foreach ((string tensor, TensorEntry entry) in b.Tensors)
        {
            Assert.That((a.Tensors[tensor].Shape, a.Tensors[tensor].TypeName), Is.EqualTo((entry.Shape, entry.TypeName)), tensor);
            Assert.That(a.Bytes(tensor).SequenceEqual(b.Bytes(tensor)), tensor);
        }
    }

    private static void AssertSameConfig(string ours, string theirs)
    {
        JsonElement a = AdapterCase.Parse(ours);
        JsonElement b = AdapterCase.Parse(theirs);
        Assert.That(a.EnumerateObject().Select(p => p.Name), Is.EqualTo(b.EnumerateObject().Select(p => p.Name)), "keys, sorted");
        foreach (JsonProperty property in b.EnumerateObject())
        {
            JsonElement value = a.GetProperty(property.Name);
            bool set = property.Name is "target_modules" or "modules_to_save" or "exclude_modules" && property.Value.ValueKind == JsonValueKind.Array;
            Assert.That(set ? Names(value).SetEquals(Names(property.Value)) : JsonElement.DeepEquals(value, property.Value),
                $"{property.Name}: {value} where PEFT has {property.Value}");
        }

        static HashSet<string> Names(JsonElement list) => [.. list.EnumerateArray().Select(n => n.GetString()!)];
    }
}
