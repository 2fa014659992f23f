using System.Text.Json.Nodes;
using Graft.Models.Adapters;
using Graft.Models.Checkpoints;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>What the host does for every method: dropout, plain forms, merging, names, targets and the options of a run file.</summary>
public sealed class AdapterHostTests
{
    private static readonly ModulePattern s_both = ModulePattern.Of("up", "down");

    [Test]
    [Category("CudaEmulator")]
    public void Every_plain_form_on_cuda_is_that_of_the_cpu([Values("lora", "vera", "miss", "pissa", "allora")] string method)
    {
        AdapterConfig config = method switch
        {
            "lora" => new LoraConfig { Rank = 4 },
            "vera" => new VeraConfig { Rank = 8 },
            "miss" => new MissConfig { Rank = 7 },
            "pissa" => new PissaConfig { Rank = 4 },
            _ => new AlloraConfig { Rank = 4 },
        };
        using CudaDevice device = CudaTestDevice.Open();
        float[][] cpu = Saved(new CpuDevice(2));
        float[][] cuda = Saved(device);
        Assert.That(cuda, Has.Length.EqualTo(cpu.Length));
        for (int i = 0; i < cpu.Length; i++)
        {
            Closeness.AssertClose($"tensor {i}", cuda[i], cpu[i], 1e-5);
        }

        float[][] Saved(Device on)
        {
            using TemporaryFolder folder = new();
            using ToyModel toy = new(device: on);
            ToyModel.Disturb(toy.Host.Attach("a", config with { TargetModules = s_both }, new Rng(1)));
            toy.Host.SavePlain("a", folder.Path);
            using SafeTensorsFile file = SafeTensorsFile.Open(Path.Combine(folder.Path, "adapter_model.safetensors"));
            return [.. file.Tensors.Keys.Order(StringComparer.Ordinal).Select(k => file.ReadFloats(k))];
        }
    }

    [Test]
    public void Dropout_acts_in_training_only_and_is_the_same_for_a_step_run_again()
    {
        foreach (AdapterConfig config in new AdapterConfig[]
        {
            new LoraConfig { Rank = 4, Dropout = 0.5f }, new DoraConfig { Rank = 4, Dropout = 0.5f }, new PissaConfig { Rank = 4, Dropout = 0.5f },
            new VeraConfig { Rank = 8, Dropout = 0.5f }, new MissConfig { Rank = 8, Dropout = 0.5f },
        })
        {
            using ToyModel toy = new();
            ToyModel.Disturb(toy.Host.Attach("a", config with { TargetModules = s_both }, new Rng(1)));
            float[] plain = toy.Forward("a");
            float[] train = toy.Forward(ForwardPhase.Train, new Rng(7).At(3), "a");
            Assert.That(train, Is.Not.EqualTo(plain), config.GetType().Name);
            Assert.That(toy.Forward(ForwardPhase.Train, new Rng(7).At(3), "a"), Is.EqualTo(train));
            Assert.That(toy.Forward(ForwardPhase.Train, new Rng(7).At(4), "a"), Is.Not.EqualTo(train));
            Assert.That(toy.Forward("a"), Is.EqualTo(plain));
        }
    }

    [Test]
    public void The_plain_form_keeps_what_was_trained_of_the_base()
    {
        using ToyModel toy = new();
        AttachedAdapter adapter = toy.Host.Attach("a", new PissaConfig { TargetModules = s_both, Rank = 3, Bias = BiasTraining.Adapted }, new Rng(1));
        ToyModel.Disturb(adapter);
        float[] trained = toy.Forward("a");
        using TemporaryFolder folder = new();
        toy.Host.SavePlain("a", folder.Path);
        toy.Host.Detach("a");
        Assert.That(toy.Host.Load(folder.Path, "plain").Parameters.Select(p => p.Key), Does.Contain("base_layer.bias"));
        Closeness.AssertClose("plain", toy.Forward("plain"), trained, 1e-5);
    }

    [Test]
    public void Merging_refuses_what_is_not_a_number_and_changes_nothing()
    {
        using ToyModel toy = new();
        AttachedAdapter adapter = toy.Host.Attach("a", new LoraConfig { TargetModules = s_both, Rank = 4 }, new Rng(1));
        ToyModel.Disturb(adapter);
        adapter.Parameters[^1].Value.AsSpan<float>()[0] = float.NaN;
        Dictionary<string, byte[]> before = toy.Bits();
        Assert.That(() => toy.Host.Merge(["a"]), Throws.TypeOf<NotMergeableException>().With.Message.Contains("block.down"));
        Assert.That(toy.Bits(), Is.EqualTo(before));
        Assert.That(toy.Host.MergedNames, Is.Empty);
    }

    [Test]
    public void A_changed_base_belongs_to_one_adapter()
    {
        using ToyModel toy = new();
        _ = toy.Host.Attach("a", new PissaConfig { TargetModules = s_both, Rank = 4 }, new Rng(1));
        Assert.That(() => toy.Host.Attach("b", new PissaConfig { TargetModules = s_both, Rank = 4 }, new Rng(1)),
            Throws.TypeOf<ConfigurationException>().With.Message.Contains("already"));
        Assert.That(() => toy.Host.Attach("c", new PissaConfig { TargetModules = s_both, Rank = 40 }, new Rng(1)), Throws.TypeOf<ConfigurationException>());
        Assert.That(toy.Host.Adapters.Select(a => a.Name), Is.EqualTo(new[] { "a" }));
    }

    [TestCase("")]
    [TestCase("a/b")]
    [TestCase("taken")]
    public void A_name_is_given_once_and_is_a_name(string name)
    {
        using ToyModel toy = new();
        _ = toy.Host.Attach("taken", new LoraConfig { TargetModules = s_both }, new Rng(1));
        Assert.That(() => toy.Host.Attach(name, new LoraConfig { TargetModules = s_both }, new Rng(1)), Throws.TypeOf<ConfigurationException>());
    }

    [Test]
    public void Targets_that_match_nothing_are_an_error_that_says_what_there_is()
    {
        using ToyModel toy = new();
        Assert.That(() => toy.Host.Attach("a", new LoraConfig { TargetModules = ModulePattern.Of("q_proj") }, new Rng(1)),
            Throws.TypeOf<ConfigurationException>().With.Message.Contains("q_proj").And.Message.Contains("block.up"));
    }

    [TestCase("lora", """{"r": 3, "lora_alpha": 5, "use_rslora": true, "target_modules": ["up"]}""")]
    [TestCase("dora", """{"r": 3}""")]
    [TestCase("pissa", """{"r": 3}""")]
    [TestCase("pissa", """{"init_lora_weights": "pissa_niter_4"}""")]
    [TestCase("allora", """{"eta": 2, "mode": "learning_rate"}""")]
    [TestCase("vera", """{"d_initial": 0.2, "vera_dropout": 0.1}""")]
    [TestCase("miss", """{"init_weights": "mini", "mini_r": 4}""")]
    [TestCase("bone", """{"init_weights": "bat"}""")]
    public void Options_of_a_run_file_make_a_configuration(string method, string options)
    {
        AdapterConfig config = AdapterTable.Create(method, JsonNode.Parse(options)!.AsObject()) with { Rank = 4, TargetModules = s_both };
        Assert.That(AdapterTable.Find(method)!.ConfigType, Is.EqualTo(config.GetType()));
        using ToyModel toy = new();
        Assert.That(toy.Host.Attach("a", config, new Rng(1)).Modules, Has.Count.EqualTo(2));
    }

    [TestCase("lora", """{"ranc": 3}""", "ranc")]
    [TestCase("lora", """{"r": "three"}""", "three")]
    [TestCase("vera", """{"eta": 3}""", "eta")]
    [TestCase("graft", "{}", "graft")]
    public void Options_that_a_method_has_not_are_refused_by_name(string method, string options, string named)
    {
        Assert.That(() => AdapterTable.Create(method, JsonNode.Parse(options)!.AsObject()),
            Throws.TypeOf<ConfigurationException>().With.Message.Contains(named));
    }
}
