using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>What only some recordings hold: five optimizer steps, a start that is determined, a plain form; and that what is not built is refused by name.</summary>
[Category("Fixtures")]
public sealed class AdapterDetailTests : AdapterFixture
{
    private static IEnumerable<string> WithSteps() => Cases().Where(c => Holds(c, "final.loss"));

    private static IEnumerable<string> WithStart() => Cases().Where(c => Holds(c, "init.") && IsDetermined(c));

    private static IEnumerable<string> WithPlainForm() => Cases().Where(c => Directory.Exists(FixtureFolder.PathOf("adapters", c, "plain")));

    protected override Device OpenDevice() => new CpuDevice(2);

    [TestCaseSource(nameof(Refused))]
    public void What_is_not_built_is_refused_by_name(string name, string what)
    {
        Assert.That(() => { Open(name); _ = Case.Load(); }, Throws.TypeOf<CheckpointException>().With.Message.Contains(what));
    }

    [TestCaseSource(nameof(WithSteps))]
    public void Five_steps_of_AdamW_agree(string name)
    {
        Open(name);
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

    [TestCaseSource(nameof(WithStart))]
    public void The_start_agrees_where_it_is_determined(string name)
    {
        Open(name);
        List<string> warnings = [];
        AdapterConfig config = PeftConfig.Parse(AdapterCase.Parse(Path.Combine(Case.Folder, PeftConfig.FileName)), Case.Folder, warnings, null,
            Case.HoldsResidual);
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

    [TestCaseSource(nameof(WithPlainForm))]
    public void The_plain_form_agrees(string name)
    {
        Open(name);
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

    private static bool Holds(string name, string prefix)
    {
        using ICheckpoint recording = CheckpointReader.Open(FixtureFolder.PathOf("adapters", name, "recording.safetensors"));
        return recording.Tensors.Keys.Any(k => k.StartsWith(prefix, StringComparison.Ordinal));
    }

    // The others start from numbers that are drawn.
    private static bool IsDetermined(string name)
    {
        string folder = FixtureFolder.PathOf("adapters", name);
        JsonElement config = AdapterCase.Parse(Path.Combine(folder, PeftConfig.FileName));
        return PeftConfig.Parse(config, folder, [], null, AdapterCase.RecordsResidual(folder)) is DoraConfig or PissaConfig or VeraConfig;
    }
}
