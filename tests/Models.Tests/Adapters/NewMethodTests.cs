using Graft.Models.Adapters;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>A method from outside: one class, one record, one row, and the host does the rest.</summary>
public sealed class NewMethodTests
{
    [Test]
    public void A_method_of_a_users_own_attaches_trains_merges_and_is_saved()
    {
        using ToyModel toy = new(methods: [.. AdapterTable.Rows, OutputGain.Row]);
        float[] plain = toy.Forward();
        AttachedAdapter adapter = toy.Host.Attach("gains", new OutputGainConfig { TargetModules = ModulePattern.AllLinear }, new Rng(1));
        Assert.That(toy.Forward("gains"), Is.EqualTo(plain));
        Assert.That(adapter.TrainableCount, Is.EqualTo(ToyModel.Hidden + ToyModel.Out));
        ToyModel.Disturb(adapter);
        _ = toy.Backward("gains");
        Assert.That(adapter.Parameters.Select(p => p.Parameter.HasGradient), Is.All.True);

        float[] trained = toy.Forward("gains");
        toy.Host.Merge(["gains"]);
        Closeness.AssertClose("merged", toy.Forward(), trained, 1e-5);
        toy.Host.Unmerge();

        using TemporaryFolder folder = new();
        toy.Host.Save("gains", folder.Path);
        toy.Host.Detach("gains");
        Assert.That(toy.Forward(), Is.EqualTo(plain));
        Assert.That(toy.Host.Load(folder.Path, "again").Config, Is.TypeOf<OutputGainConfig>());
        Assert.That(toy.Forward("again"), Is.EqualTo(trained));
        Assert.That(() => toy.Host.SavePlain("again", folder.Path), Throws.TypeOf<NotMergeableException>());
    }

    [Test]
    public void The_page_shows_the_code_that_these_tests_compile()
    {
        if (FixtureFolder.Repository is not { } root)
        {
            Assert.Ignore("the tests run from a bundle, without the sources");
            return;
        }

        string code = File.ReadAllText(Path.Combine(root, "tests", "Models.Tests", "Adapters", "OutputGain.cs"));
        string page = File.ReadAllText(Path.Combine(root, "docs", "adapters.md"));
        Assert.That(page, Does.Contain(code[code.IndexOf("/// <summary>One trained gain", StringComparison.Ordinal)..].TrimEnd()));
    }

    [Test]
    public void A_method_that_starts_from_data_is_given_its_statistics_or_says_what_it_needs()
    {
        AdapterRow row = AdapterRow.Of<OutputGainConfig>("calibrated-gain", "CALIBRATED_GAIN", "gain", _ => new OutputGainConfig(), (_, _) => { },
            (site, config) =>
        {
            Assert.That(site.Calibrated("gain"), Is.EqualTo(new[] { 1f, 2f }));
            return Create(site, config);
        });
        using ToyModel toy = new(methods: [row]);
        OutputGainConfig config = new() { TargetModules = ModulePattern.AllLinear, Rank = 4 };
        Assert.That(() => toy.Host.Attach("a", config, new Rng(1)),
            Throws.TypeOf<ConfigurationException>().With.Message.Contains("'gain'").And.Message.Contains("block.up"));
        Assert.That(toy.Host.Adapters, Is.Empty);
        Assert.That(toy.Host.Attach("a", config, new Rng(1), new Statistics()).Modules, Has.Count.EqualTo(2));
    }

    private static IAdapter Create(AdapterSite site, OutputGainConfig config)
    {
        return Miss.Create(site, new BoneConfig { TargetModules = config.TargetModules });
    }

    private sealed class Statistics : ICalibration
    {
        public float[]? Find(string module, string statistic) => statistic == "gain" ? [1, 2] : null;
    }
}
