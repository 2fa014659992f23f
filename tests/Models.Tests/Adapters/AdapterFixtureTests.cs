using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>The recorded adapters on the CPU, and what is the host's alone: five optimizer steps, the start, the files.</summary>
[Category("Fixtures")]
[TestFixtureSource(nameof(Cases))]
public sealed class AdapterFixtureTests(string name) : AdapterSuite(name)
{
    private readonly string _name = name;

    protected override Device OpenDevice() => new CpuDevice(2);

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
        using AdapterCase fresh = new(_name, unchanged: true);
        _ = fresh.Load("plain", "theirs");
        Close("logits of plain/", fresh.Logits("theirs"), "logits", "logits");
        if (ours)
        {
            _ = fresh.Host.Load(folder.Path, "ours");
            Close("logits of our plain form", fresh.Logits("ours"), "logits", "logits");
        }
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
