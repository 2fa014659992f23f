using Graft.Models.Adapters;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>Which modules an adapter goes to, and with which rank and alpha, by PEFT's rules.</summary>
public sealed class TargetMatcherTests
{
    private const string Q0 = "model.layers.0.self_attn.q_proj";
    private const string Q1 = "model.layers.1.self_attn.q_proj";
    private const string Gate = "model.layers.1.mlp.gate_proj";
    private const string Conv = "transformer.h.3.attn.c_attn";

    private static readonly LoraConfig s_config = new();

    private static LoraConfig Targeted => s_config with { TargetModules = ModulePattern.Of("q_proj", "c_attn") };

    public static IEnumerable<TestCaseData> Cases()
    {
        yield return Case("an ending", s_config with { TargetModules = ModulePattern.Of("q_proj") }, Q0, true);
        yield return Case("an ending begins at a dot", s_config with { TargetModules = ModulePattern.Of("proj") }, Q0, false);
        yield return Case("an ending of several segments", s_config with { TargetModules = ModulePattern.Of("self_attn.q_proj") }, Q0, true);
        yield return Case("a whole path", s_config with { TargetModules = ModulePattern.Of(Q0) }, Q0, true);
        yield return Case("a whole path of another layer", s_config with { TargetModules = ModulePattern.Of(Q0) }, Q1, false);
        yield return Case("a name without dots", s_config with { TargetModules = ModulePattern.Of("lm_head") }, "lm_head", true);
        yield return Case("an expression matches the whole path", s_config with { TargetModules = ModulePattern.Matching(@".*\.(q|v)_proj") }, Q0, true);
        yield return Case("an expression must reach the end", s_config with { TargetModules = ModulePattern.Matching(@".*\.(q|v)_") }, Q0, false);
        yield return Case("an expression must begin at the start", s_config with { TargetModules = ModulePattern.Matching("q_proj") }, Q0, false);
        yield return Case("alternatives are grouped", s_config with { TargetModules = ModulePattern.Matching("q_proj|x") }, "xq_proj", false);
        yield return Case("nothing matches nothing", s_config, Q0, false);
        yield return Case("all-linear takes linear layers", s_config with { TargetModules = ModulePattern.AllLinear }, Q0, true);
        yield return Case("all-linear leaves others", s_config with { TargetModules = ModulePattern.AllLinear }, "model.embed_tokens", false, isLinear: false);
        yield return Case("an excluded ending", Targeted with { ExcludeModules = ModulePattern.Of("q_proj") }, Q0, false);
        yield return Case("an excluded path", Targeted with { ExcludeModules = ModulePattern.Of(Q0) }, Q1, true);
        yield return Case("an excluded expression", Targeted with { ExcludeModules = ModulePattern.Matching(@".*layers\.0.*") }, Q0, false);
        yield return Case("exclusions reach all-linear",
            s_config with { TargetModules = ModulePattern.AllLinear, ExcludeModules = ModulePattern.Of("gate_proj") }, Gate, false);
        yield return Case("a saved module is no target", Targeted with { ModulesToSave = new(["q_proj"]) }, Q0, false);
        yield return Case("part of a saved module is no target", Targeted with { ModulesToSave = new(["self_attn"]) }, Q0, false);
        yield return Case("a chosen layer", Targeted with { LayersToTransform = new([1]) }, Q1, true);
        yield return Case("another layer", Targeted with { LayersToTransform = new([1]) }, Q0, false);
        yield return Case("a chosen layer by its name", Targeted with { LayersToTransform = new([1]), LayersPattern = new(["layers"]) }, Q1, true);
        yield return Case("a layer's name that is not there", Targeted with { LayersToTransform = new([1]), LayersPattern = new(["h"]) }, Q1, false);
        yield return Case("the first layer's name that is there", Targeted with { LayersToTransform = new([3]), LayersPattern = new(["x", "h"]) }, Conv, true);
        yield return Case("layers of a module without number",
            s_config with { TargetModules = ModulePattern.Of("lm_head"), LayersToTransform = new([1]) }, "model.lm_head", false);
        yield return Case("a whole path needs no layer", s_config with { TargetModules = ModulePattern.Of(Q0), LayersToTransform = new([1]) }, Q0, true);
        yield return Case("an expression needs no layer",
            s_config with { TargetModules = ModulePattern.Matching(".*q_proj"), LayersToTransform = new([1]) }, Q0, true);
    }

    [TestCaseSource(nameof(Cases))]
    public void A_module_is_selected_as_in_PEFT(LoraConfig config, string module, bool isLinear, bool expected)
    {
        Assert.That(TargetMatcher.IsTarget(config, module, isLinear), Is.EqualTo(expected));
    }

    [TestCase("norm", "model.norm", true)]
    [TestCase("norm", "model.layers.0.input_layernorm", true, Description = "an ending within a segment, as in PEFT")]
    [TestCase("lm_head", "lm_head", true)]
    [TestCase("lm_head", "lm_head.inner", true)]
    [TestCase("score", "lm_head", false)]
    public void A_module_is_saved_whole_as_in_PEFT(string saved, string module, bool expected)
    {
        Assert.That(TargetMatcher.IsSaved(s_config with { ModulesToSave = new([saved]) }, module), Is.EqualTo(expected));
    }

    [TestCase("q_proj", Q0, true)]
    [TestCase("self_attn.q_proj", Q0, true)]
    [TestCase(Q0, Q0, true)]
    [TestCase("proj", Q0, false)]
    [TestCase(@"layers\.0\..*", Q0, true)]
    [TestCase(@"^model\.layers\.0\.self_attn\.q_proj", Q0, true)]
    [TestCase(@"^layers\.0.*", Q0, false)]
    [TestCase("q_pro", Q0, false)]
    public void A_pattern_matches_as_in_PEFT(string pattern, string module, bool expected)
    {
        Assert.That(new PatternTable((pattern, 3)).Find(module), Is.EqualTo(expected ? 3.0 : null));
    }

    [Test]
    public void The_first_pattern_that_matches_wins()
    {
        LoraConfig config = s_config with
        {
            Rank = 4,
            Alpha = 8,
            RankPattern = new PatternTable((@"layers\.1\..*", 6), ("q_proj", 2)),
            AlphaPattern = new PatternTable(("q_proj", 3.5), (@"layers\.1\..*", 9)),
        };
        Assert.That((config.RankOf(Q0), config.AlphaOf(Q0)), Is.EqualTo((2, 3.5)));
        Assert.That((config.RankOf(Q1), config.AlphaOf(Q1)), Is.EqualTo((6, 3.5)));
        Assert.That((config.RankOf(Gate), config.AlphaOf(Gate)), Is.EqualTo((6, 9.0)));
        Assert.That((config.RankOf(Conv), config.AlphaOf(Conv)), Is.EqualTo((4, 8.0)));
    }

    [TestCase(0)]
    [TestCase(2.5)]
    [TestCase(-1)]
    public void A_rank_that_is_none_is_refused(double rank)
    {
        LoraConfig config = s_config with { RankPattern = new PatternTable(("q_proj", rank)) };
        Assert.That(() => config.RankOf(Q0), Throws.TypeOf<ConfigurationException>().With.Message.Contains(Q0));
    }

    [Test]
    public void A_broken_expression_is_refused_with_its_text()
    {
        Assert.That(() => ModulePattern.Matching("(q_proj"), Throws.TypeOf<ConfigurationException>().With.Message.Contains("(q_proj"));
        Assert.That(() => new PatternTable(("[", 1)), Throws.TypeOf<ConfigurationException>());
    }

    [Test]
    public void An_expression_that_explodes_is_stopped()
    {
        ModulePattern pattern = ModulePattern.Matching("(a+)+b");
        Assert.That(() => pattern.Matches(new string('a', 60)), Throws.TypeOf<ConfigurationException>().With.Message.Contains("longer"));
    }

    [Test]
    public void Selections_compare_by_value()
    {
        LoraConfig one = Targeted with { LayersToTransform = new ValueList<int>([1]) };
        LoraConfig two = Targeted with { LayersToTransform = new ValueList<int>([1]) };
        Assert.That(one, Is.EqualTo(two));
        Assert.That(ModulePattern.Of("a"), Is.Not.EqualTo(ModulePattern.Of("b")));
    }

    private static TestCaseData Case(string what, LoraConfig config, string module, bool expected, bool isLinear = true)
    {
        return new TestCaseData(config, module, isLinear, expected).SetArgDisplayNames(what);
    }
}
