using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Layers;
using Graft.Runtime;
using Graft.Training.Data;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Loop;

/// <summary>The loop with a real architecture: attention, tied head, normalisations.</summary>
public class LanguageModelTests
{
    private static readonly TinyOptions s_descent = new() { Rule = new Sgd(), LearningRate = 0.5, Steps = 2, Shuffle = false };

    [Test]
    public async Task The_loss_is_the_mean_of_cross_entropy_over_targets()
    {
        using LanguageRun run = new(s_descent with { Steps = 1, Packing = PackingMode.None });
        TokenSampleList data = TinyRun.Samples(s_descent.Samples, 1);
        BatchOptions shape = new() { Rows = s_descent.Rows, Length = s_descent.Length, Packing = PackingMode.None };
        Batch batch = new BatchSampler(data, shape, SampleOrder.Sequential(data.Count)).Next();
        double total = 0;
        using (Arena arena = new(run.Device, "oracle"))
        {
            // Each sample alone, by plain logits.
            foreach (BatchSegment segment in batch.Segments)
            {
                int[] ids = data.Ids(segment.Sample).ToArray();
                ForwardContext context = new(Tape.None(arena), new TokenLayout(1, ids.Length));
                float[] logits = run.Model.Model.Logits(context, arena.Create<int>(new Shape(1, ids.Length), ids, MemoryCategory.Activations)).ToArray<float>();
                for (int t = 0; t + 1 < ids.Length; t++)
                {
                    double[] row = [.. logits.Skip(t * TinyRun.Vocabulary).Take(TinyRun.Vocabulary).Select(z => (double)z)];
                    total += data.LossMask(segment.Sample)[t + 1] == 0 ? 0 : Math.Log(row.Sum(Math.Exp)) - row[ids[t + 1]];
                }
            }
        }

        StepResult result = (await run.Run()).OfType<StepCompleted>().Single().Result;
        Assert.That(result.Loss, Is.EqualTo(total / batch.TargetCount).Within(1e-5));
    }

    [Test]
    public async Task Packed_accumulated_and_separate_samples_give_one_gradient()
    {
        // 16 samples in one step, whichever way.
        TinyOptions shape = s_descent with { Samples = 16, Rows = 16, Steps = 1, Length = 24 };
        using LanguageRun separate = new(shape with { Packing = PackingMode.None });
        using LanguageRun packed = new(shape);
        using LanguageRun accumulated = new(shape with { Packing = PackingMode.None, Rows = 4, Accumulation = 4 });
        StepResult expected = (await separate.Run()).OfType<StepCompleted>().Single().Result;
        foreach (LanguageRun other in (LanguageRun[])[packed, accumulated])
        {
            StepResult result = (await other.Run()).OfType<StepCompleted>().Single().Result;
            Assert.That((result.TargetTokens, result.Tokens), Is.EqualTo((expected.TargetTokens, expected.Tokens)));
            Assert.That(result.Loss, Is.EqualTo(expected.Loss).Within(2e-6));
            AreClose(separate.Values(), other.Values(), separate.Model.Model.Parameters);
        }
    }

    [Test]
    public async Task Threads_and_recomputation_change_no_bit()
    {
        TinyOptions shape = s_descent with { Rule = new AdamW(), LearningRate = 0.01, Steps = 4, Length = 64, Samples = 120 };
        using LanguageRun one = new(shape);
        _ = await one.Run();
        foreach (TinyOptions other in (TinyOptions[])[shape with { Threads = 2 }, shape with { Checkpointing = true }])
        {
            using LanguageRun run = new(other);
            _ = await run.Run();
            Assert.That(run.Values(), Is.EqualTo(one.Values()), $"{other.Threads} threads, recomputation {other.Checkpointing}");
        }
    }

    [Test]
    public async Task Memory_is_planned_to_the_byte([Values(0, 1, 2, 3, 4, 5)] int shape)
    {
        Func<ParameterEntry, bool> queries = e => e.Tags.Module is "q_proj" or "v_proj";
        (TinyOptions options, Func<ParameterEntry, bool>? trains) = shape switch
        {
            0 => (s_descent, null),
            1 => (s_descent with { Rows = 7, Length = 50, Rule = new AdamW() }, null),
            2 => (s_descent with { Accumulation = 3 }, queries),
            3 => (s_descent with { Checkpointing = true, Length = 40 }, null),
            4 => (s_descent with { DType = DType.BF16, Rule = new AdamW { AmsGrad = true } }, null),
            _ => (s_descent with { Packing = PackingMode.None, Checkpointing = true, DType = DType.BF16 }, queries),
        };
        using LanguageRun real = new(options, trains);
        StepCompleted step = (await real.Run()).OfType<StepCompleted>().First();
        using LanguageRun planned = new(options with { Meta = true }, trains);
        TrainingPlan plan = await TrainingPlan.OfAsync(planned.Trainer);
        Assert.That(plan.Persistent, Is.EqualTo(step.Memory));
        Assert.That(plan.StepPeak, Is.EqualTo(step.StepPeak));
    }

    [Test]
    public async Task Recomputation_takes_less_memory_and_so_do_frozen_weights()
    {
        async Task<TrainingPlan> Plan(TinyOptions options, Func<ParameterEntry, bool>? trains)
        {
            using LanguageRun run = new(options with { Meta = true, Rows = 16, Length = 100, Layers = 8 }, trains);
            return await TrainingPlan.OfAsync(run.Trainer);
        }

        TrainingPlan full = await Plan(s_descent, null);
        TrainingPlan recomputed = await Plan(s_descent with { Checkpointing = true }, null);
        TrainingPlan part = await Plan(s_descent, e => e.Tags.Layer >= 6);
        Assert.That(recomputed.StepPeak.Total, Is.LessThan(0.5 * full.StepPeak.Total));
        Assert.That(part.StepPeak.Total, Is.LessThan(0.5 * full.StepPeak.Total));
        Assert.That(part.Persistent[MemoryCategory.Gradients], Is.LessThan(full.Persistent[MemoryCategory.Gradients] / 2));
    }

    [Test]
    public async Task A_model_learns_a_few_samples_by_heart()
    {
        TinyOptions shape = new()
        {
            Rule = new AdamW(WeightDecay: 0),
            LearningRate = 0.01,
            Steps = 120,
            Samples = 4,
            Shuffle = false,
            Evaluates = true,
            Trainer = new TrainerOptions { EvaluateAtStart = true },
        };
        using LanguageRun run = new(shape);
        List<TrainingEvent> events = await run.Run();
        EvaluationResult before = events.OfType<EvaluationCompleted>().First().Result;
        EvaluationResult after = events.OfType<EvaluationCompleted>().Last().Result;
        Assert.Multiple(() =>
        {
            Assert.That(before.Loss, Is.EqualTo(events.OfType<StepCompleted>().First().Result.Loss).Within(1e-5), "all samples fit into the first batch");
            Assert.That(before.ExactMatch, Is.LessThan(0.5));
            Assert.That(after.Loss, Is.LessThan(0.05));
            Assert.That(after.TokenAccuracy, Is.EqualTo(1));
            Assert.That(after.ExactMatch, Is.EqualTo(1));
            Assert.That(after.Samples, Is.EqualTo(4));
        });
    }

    public static IEnumerable<AdapterConfig> Adapters()
    {
        yield return new LoraConfig { TargetModules = ModulePattern.AllLinear, Rank = 2, Dropout = 0.1f };
        yield return new LoraConfig { TargetModules = ModulePattern.AllLinear, Rank = 5 };
        yield return new DoraConfig { TargetModules = ModulePattern.AllLinear, Rank = 2 };
        yield return new AlloraConfig { TargetModules = ModulePattern.AllLinear, Rank = 2, Mode = AlloraMode.LearningRate };
    }

    [TestCaseSource(nameof(Adapters))]
    public async Task Adapters_learn_resume_to_the_bit_and_leave_the_base_alone(AdapterConfig config)
    {
        string folder = Path.Combine(TestContext.CurrentContext.WorkDirectory, "runs", Guid.NewGuid().ToString("N"));
        TinyOptions shape = new() { LearningRate = 0.01, Steps = 30, Samples = 8 };
        TrainerOptions options = new() { CheckpointFolder = folder, SaveEvery = 7, Resume = true };
        try
        {
            using LanguageRun whole = new(shape, adapter: config);
            List<float[]> before = whole.Values();
            List<float[]> start = whole.AdapterValues();
            List<StepCompleted> steps = [.. (await whole.Run()).OfType<StepCompleted>()];
            Assert.That(steps.TakeLast(5).Average(s => s.Result.Loss), Is.LessThan(0.9 * steps.Take(5).Average(s => s.Result.Loss)));
            Assert.That(whole.Values(), Is.EqualTo(before), "the base is frozen");
            Assert.That(whole.AdapterValues(), Is.Not.EqualTo(start));

            using (LanguageRun first = new(shape with { Trainer = options }, adapter: config))
            {
                await foreach (TrainingEvent e in first.Trainer.RunAsync())
                {
                    if (e is StepCompleted && e.Step == 17)
                    {
                        break;
                    }
                }
            }

            using LanguageRun resumed = new(shape with { Trainer = options }, adapter: config);
            List<TrainingEvent> events = await resumed.Run();
            Assert.That(events.OfType<TrainingStarted>().Single().Step, Is.EqualTo(14));
            Assert.That(resumed.AdapterValues(), Is.EqualTo(whole.AdapterValues()));
        }
        finally
        {
            if (Directory.Exists(folder))
            {
                Directory.Delete(folder, recursive: true);
            }
        }
    }

    [TestCaseSource(nameof(Adapters))]
    public async Task Memory_of_adapters_is_planned_to_the_byte(AdapterConfig config)
    {
        using LanguageRun real = new(s_descent with { Rule = new AdamW() }, adapter: config);
        StepCompleted step = (await real.Run()).OfType<StepCompleted>().First();
        using LanguageRun planned = new(s_descent with { Rule = new AdamW(), Meta = true }, adapter: config);
        TrainingPlan plan = await TrainingPlan.OfAsync(planned.Trainer);
        Assert.That(plan.Persistent, Is.EqualTo(step.Memory));
        Assert.That(plan.StepPeak, Is.EqualTo(step.StepPeak));
    }

    [Test]
    public void Operations_are_counted()
    {
        using LanguageRun run = new(s_descent with { Meta = true });
        ILanguageModel model = run.Model.Model;
        double weights = model.Linears.Sum(l => (double)l.In * l.Out);
        double frozen = FlopsEstimate.OfStep(model, 1000, 1);
        foreach (Parameter parameter in model.Parameters)
        {
            parameter.Trainable = true;
        }

        Assert.That(frozen, Is.EqualTo(4 * 1000 * weights).Within(5).Percent);
        Assert.That(FlopsEstimate.OfStep(model, 1000, 1), Is.EqualTo(6 * 1000 * weights).Within(5).Percent);
    }

    private static void AreClose(List<float[]> expected, List<float[]> actual, IReadOnlyList<Parameter> parameters)
    {
        for (int p = 0; p < expected.Count; p++)
        {
            for (int i = 0; i < expected[p].Length; i++)
            {
                Assert.That(actual[p][i], Is.EqualTo(expected[p][i]).Within(2e-5), $"{parameters[p].Name}[{i}]");
            }
        }
    }
}
