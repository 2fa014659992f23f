using Graft.Models.Adapters;
using Graft.Runtime;
using Graft.Training.Data;
using Graft.Training.Tests.Loop;

namespace Graft.Training.Tests.Cuda;

/// <summary>Steps as CUDA graphs: the same bits as without, recorded anew where memory moved, refused by name where they cannot be.</summary>
[Category("CudaEmulator")]
public sealed class StepRecorderTests
{
    private const int Steps = 8;
    private static readonly TinyOptions s_run = new() { Kind = DeviceKind.Cuda, Steps = Steps, Shuffle = false, LearningRate = 0.01, Packing = PackingMode.None };
    private static readonly LoraConfig s_lora = new() { TargetModules = ModulePattern.AllLinear, Rank = 2 };

    [Test]
    public async Task A_recorded_run_has_the_same_bits(
        [Values(1, 2)] int accumulation, [Values(PackingMode.None, PackingMode.FirstFitDecreasing)] PackingMode packing, [Values] bool adapter)
    {
        TinyOptions shape = s_run with { Accumulation = accumulation, Packing = packing, Length = packing == PackingMode.None ? 12 : 24 };
        long replays = await SameBits(shape, adapter ? s_lora : null);
        // All but the first of a form; packed batches may be of two forms, with ranges and without.
        int most = accumulation * (Steps - 1);
        Assert.That(replays, packing == PackingMode.None ? Is.EqualTo(most) : Is.InRange(most / 2, most));
    }

    [Test]
    public async Task Recomputation_and_16_bit_can_be_recorded()
    {
        TinyOptions shape = s_run with { Checkpointing = true, DType = DType.BF16, Activations = DType.BF16, Packing = PackingMode.FirstFitDecreasing };
        Assert.That(await SameBits(shape, s_lora), Is.GreaterThan(0));
    }

    [Test]
    public async Task Other_adapters_can_be_recorded([Values("vera", "allora", "dora")] string method)
    {
        AdapterConfig config = method switch
        {
            "vera" => new VeraConfig { TargetModules = ModulePattern.Of("q_proj", "o_proj"), Rank = 4 },
            "allora" => new AlloraConfig { TargetModules = ModulePattern.AllLinear, Rank = 2 },
            _ => new DoraConfig { TargetModules = ModulePattern.AllLinear, Rank = 2 },
        };
        Assert.That(await SameBits(s_run, config), Is.EqualTo(Steps - 1));
    }

    [Test]
    public async Task Memory_that_moved_between_steps_is_recorded_anew()
    {
        // Each evaluation takes more than the arena has, and leaves garbage in it.
        TinyOptions shape = s_run with { Trainer = new TrainerOptions { Evaluator = new Growing(), EvaluateEvery = 3 } };
        long replays = await SameBits(shape, s_lora);
        // Steps 1, 4 and 7 run as usual.
        Assert.That(replays, Is.EqualTo(Steps - 3));
    }

    [Test]
    public async Task An_evaluation_between_steps_changes_nothing()
    {
        TinyOptions shape = s_run with { Evaluates = true, Trainer = new TrainerOptions { EvaluateEvery = 2 } };
        Assert.That(await SameBits(shape, s_lora), Is.EqualTo(Steps - 1));
    }

    [Test]
    public async Task A_profile_shows_a_replay_as_one_span()
    {
        using LanguageRun run = new(s_run with { CudaGraph = true, Trainer = new TrainerOptions { Profile = new StepProfileOptions { Steps = 1 } } });
        StepProfiled step = (await run.Run()).OfType<StepProfiled>().Single();
        Assert.That(step.Families.Select(f => f.Name), Is.EquivalentTo(new[] { "data", GradientStep.GraphSpan, "clip", "update" }));
        Assert.That(step.Families.Select(f => f.Calls), Is.All.EqualTo(1));
    }

    [Test]
    public void Dropout_is_refused_by_name()
    {
        using LanguageRun run = new(s_run with { CudaGraph = true }, adapter: s_lora with { Dropout = 0.1f });
        Assert.That(run.Run, Throws.TypeOf<ConfigurationException>().With.Message.Contains("dropout").And.Message.Contains("cudaGraph"));
    }

    [Test]
    public void An_objective_of_two_terms_is_refused_by_name()
    {
        using LanguageRun run = new(s_run with { CudaGraph = true }, wrap: o => new Twice(o));
        Assert.That(run.Run, Throws.TypeOf<ConfigurationException>().With.Message.Contains("one term").And.Message.Contains("cudaGraph"));
    }

    [Test]
    public void A_step_that_reads_values_is_refused_by_name()
    {
        using LanguageRun run = new(s_run with { CudaGraph = true }, wrap: o => new Reading(o));
        Assert.That(run.Run, Throws.TypeOf<ConfigurationException>().With.Message.Contains("read values").And.Message.Contains("cudaGraph"));
    }

    private static async Task<long> SameBits(TinyOptions shape, AdapterConfig? adapter)
    {
        using LanguageRun plain = new(shape, adapter: adapter);
        using LanguageRun recorded = new(shape with { CudaGraph = true }, adapter: adapter);
        StepCompleted[] steps = [.. (await plain.Run()).OfType<StepCompleted>()];
        StepResult[] expected = [.. steps.Select(e => e.Result)];
        long replays = 0;
        List<StepResult> actual = [];
        await foreach (TrainingEvent e in recorded.Trainer.RunAsync())
        {
            if (e is StepCompleted step)
            {
                // Less by the batch's integers, which lie elsewhere.
                long peak = steps[actual.Count].StepPeak.Total;
                Assert.That(step.StepPeak.Total, Is.GreaterThan(peak * 0.8).And.LessThanOrEqualTo(peak), "a replay is accounted as what it replays");
                actual.Add(step.Result);
                replays = recorded.Step!.Replays;
            }
        }

        Assert.That(plain.Step!.Replays, Is.Zero);
        Assert.That(actual.Select(r => r.Loss), Is.EqualTo(expected.Select(r => r.Loss)), "losses");
        Assert.That(actual.Select(r => r.GradientNorm), Is.EqualTo(expected.Select(r => r.GradientNorm)), "norms");
        Assert.That(recorded.Values(), Is.EqualTo(plain.Values()));
        if (adapter is not null)
        {
            Assert.That(recorded.AdapterValues(), Is.EqualTo(plain.AdapterValues()));
        }

        return replays;
    }

    private sealed class Growing : IEvaluator
    {
        private int _calls;

        public EvaluationResult Run(Arena arena, CancellationToken cancellation)
        {
            _calls++;
            using Scope scope = arena.Enter("evaluation");
            int bytes = (int)arena.Report().SlabBytes + (_calls << 20);
            arena.Allocate(new Shape(bytes / 4), DType.F32, MemoryCategory.Activations).Fill(float.NaN);
            return new EvaluationResult(1, 0, 0, 1, 1);
        }
    }

    private sealed class Reading(IObjective inner) : IObjective
    {
        public IReadOnlyList<LossTerm> Forward(ObjectiveCall c)
        {
            IReadOnlyList<LossTerm> terms = inner.Forward(c);
            return [terms[0] with { Weight = double.IsNaN(terms[0].Sum.ReadScalar()) ? 0 : 1 }];
        }
    }

    private sealed class Twice(IObjective inner) : IObjective
    {
        public IReadOnlyList<LossTerm> Forward(ObjectiveCall c)
        {
            LossTerm term = inner.Forward(c)[0];
            return [term, term with { Name = "again", Weight = 0.5 }];
        }
    }
}
