using System.Diagnostics.Metrics;
using Graft.Runtime;
using Graft.Training.Data;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Loop;

/// <summary>What a run computes, needs and refuses.</summary>
public class TrainerTests
{
    [Test]
    public async Task Training_lowers_the_loss()
    {
        using TinyRun run = new(new TinyOptions { TrainBase = true, Steps = 80, LearningRate = 0.05, Samples = 4, Width = 16 });
        List<StepCompleted> steps = [.. (await run.Run()).OfType<StepCompleted>()];
        Assert.That(steps, Has.Count.EqualTo(80));
        Assert.That(steps[^1].Result.Loss, Is.LessThan(0.5 * steps[0].Result.Loss));
        Assert.That(steps[0].Result.Loss, Is.EqualTo(Math.Log(TinyRun.Vocabulary)).Within(0.5), "near a guess at the start");
    }

    [TestCase(PackingMode.None)]
    [TestCase(PackingMode.FirstFitDecreasing)]
    public async Task Accumulated_micro_batches_are_one_big_batch(PackingMode packing)
    {
        TinyOptions shape = new() { Rule = new Sgd(), LearningRate = 1, Steps = 3, Shuffle = false, Packing = packing, TrainBase = true };
        using TinyRun big = new(shape with { Rows = 8 });
        using TinyRun small = new(shape with { Rows = 2, Accumulation = 4 });
        List<StepCompleted> ofBig = [.. (await big.Run()).OfType<StepCompleted>()];
        List<StepCompleted> ofSmall = [.. (await small.Run()).OfType<StepCompleted>()];
        Assert.That(ofSmall.Select(s => s.Result.TargetTokens), Is.EqualTo(ofBig.Select(s => s.Result.TargetTokens)));
        Assert.That(ofSmall.Select(s => s.Result.Loss), Is.EqualTo(ofBig.Select(s => s.Result.Loss)).Within(1e-6));
        AreClose(big, small, 2e-6);
    }

    [Test]
    public async Task Packed_samples_are_separate_samples()
    {
        // All samples in one step, so that both ways see the same ones.
        TinyOptions shape = new() { Rule = new Sgd(), LearningRate = 1, Steps = 1, Shuffle = false, Samples = 16, TrainBase = true, Rows = 16 };
        using TinyRun packed = new(shape);
        using TinyRun separate = new(shape with { Packing = PackingMode.None });
        StepResult one = (await packed.Run()).OfType<StepCompleted>().Single().Result;
        StepResult other = (await separate.Run()).OfType<StepCompleted>().Single().Result;
        Assert.That((one.TargetTokens, one.Tokens), Is.EqualTo((other.TargetTokens, other.Tokens)));
        Assert.That(one.Loss, Is.EqualTo(other.Loss).Within(1e-6));
        AreClose(packed, separate, 2e-6);
    }

    [Test]
    public async Task Threads_layout_and_recomputation_change_no_bit()
    {
        TinyOptions shape = new() { TrainBase = true, Width = 48, Rows = 8, Length = 64, Samples = 300, Dropout = 0.1, Steps = 5 };
        using TinyRun one = new(shape);
        _ = await one.Run();
        TinyOptions[] others = [shape with { Threads = 2 }, shape with { Threads = 3, Layout = ValueLayout.InPlace }, shape with { Checkpointing = true }];
        foreach (TinyOptions other in others)
        {
            using TinyRun run = new(other);
            _ = await run.Run();
            Assert.That(run.Bits(), Is.EqualTo(one.Bits()), other.ToString());
        }
    }

    [Test]
    public async Task Frozen_parameters_are_bit_identical()
    {
        using TinyRun run = new(new TinyOptions { Rule = new AdamW(WeightDecay: 0.5) });
        List<int[]> before = run.Bits();
        _ = await run.Run();
        List<int[]> after = run.Bits();
        foreach (int frozen in (int[])[0, 1, 4])
        {
            Assert.That(after[frozen], Is.EqualTo(before[frozen]));
        }

        Assert.That(after[2], Is.Not.EqualTo(before[2]));
        Assert.That(after[3], Is.Not.EqualTo(before[3]));
    }

    [Test]
    public async Task A_thousand_steps_leak_nothing()
    {
        using TinyRun run = new(new TinyOptions { Steps = 1000, Accumulation = 2, Trainer = new TrainerOptions { LogEvery = 1000 } });
        ArenaReport? early = null;
        MemoryUse persistent = default;
        long managed = 0;
        long last = 0;
        await foreach (TrainingEvent e in run.Trainer.RunAsync())
        {
            if (e is StepCompleted step)
            {
                Assert.That(run.Trainer.StepArena.Report().Current.Total, Is.Zero);
                if (step.Step == 100)
                {
                    early = run.Trainer.StepArena.Report();
                    persistent = step.Memory;
                    managed = GC.GetTotalMemory(forceFullCollection: true);
                }

                last = step.Memory.Total;
            }
        }

        ArenaReport late = run.Trainer.StepArena.Report();
        Assert.That((late.SlabBytes, late.SlabAllocations), Is.EqualTo((early!.SlabBytes, early.SlabAllocations)));
        Assert.That(last, Is.EqualTo(persistent.Total));
        Assert.That(GC.GetTotalMemory(forceFullCollection: true) - managed, Is.LessThan(1 << 20));
    }

    [Test]
    public async Task Memory_is_planned_to_the_byte([Values(0, 1, 2, 3, 4, 5, 6)] int shape)
    {
        TinyOptions options = new TinyOptions() with { Packing = PackingMode.None, Steps = 1 };
        options = shape switch
        {
            0 => options,
            1 => options with { Rows = 9, Length = 33 },
            2 => options with { Accumulation = 3 },
            3 => options with { Checkpointing = true, Width = 40 },
            4 => options with { Rank = 7, Rule = new AdamW { AmsGrad = true } },
            5 => options with { DType = DType.BF16, TrainBase = true },
            _ => options with { Layout = ValueLayout.InPlace, TrainBase = true, Rule = new Sgd() },
        };
        using TinyRun real = new(options);
        StepCompleted step = (await real.Run()).OfType<StepCompleted>().First();
        using TinyRun planned = new(options with { Meta = true });
        TrainingPlan plan = await TrainingPlan.OfAsync(planned.Trainer);
        Assert.Multiple(() =>
        {
            Assert.That(plan.Persistent, Is.EqualTo(step.Memory));
            Assert.That(plan.StepPeak, Is.EqualTo(step.StepPeak));
            Assert.That(plan.Result.TargetTokens, Is.EqualTo(step.Result.TargetTokens));
            Assert.That(plan.StepPeak[MemoryCategory.Activations], Is.GreaterThan(options.Rows * options.Length * options.Width * 4));
            Assert.That(plan.Persistent[MemoryCategory.Weights], Is.Not.Zero);
            Assert.That(plan.Persistent[MemoryCategory.Gradients], Is.Not.Zero);
        });
    }

    [Test]
    public void The_first_step_names_parameters_without_a_gradient()
    {
        using TinyRun run = new(new TinyOptions { TrainBase = true }) { LeaveOutBranch = true };
        Assert.That(async () => await run.Run(), Throws.TypeOf<AutogradException>().With.Message.Contains("lora_A").And.Message.Contains("2 of 5"));
        using TinyRun unguarded = new(new TinyOptions { TrainBase = true, RequireGradients = false }) { LeaveOutBranch = true };
        Assert.That(async () => await unguarded.Run(), Throws.Nothing);
    }

    [Test]
    public void Data_without_a_stop_token_that_carries_loss_is_refused()
    {
        TokenSampleList samples = new();
        samples.Add(1, [3, TinyRun.Stop], [1, 0]);
        samples.Add(2, [TinyRun.Stop, 4], [1, 1]);
        Assert.That(() => TrainingChecks.RequireStopToken(samples, TinyRun.Stop), Throws.TypeOf<ConfigurationException>().With.Message.Contains("15"));
        samples.Add(3, [4, TinyRun.Stop], [0, 1]);
        Assert.That(() => TrainingChecks.RequireStopToken(samples, TinyRun.Stop), Throws.Nothing);
    }

    [Test]
    public void A_run_whose_data_has_no_stop_token_does_not_begin()
    {
        using TinyRun run = new(new TinyOptions { Trainer = new TrainerOptions { StopTokens = [TinyRun.Vocabulary] } });
        List<int[]> before = run.Bits();
        Assert.That(async () => await run.Run(), Throws.TypeOf<ConfigurationException>());
        Assert.That(run.Bits(), Is.EqualTo(before));
        using TinyRun stops = new(new TinyOptions { Trainer = new TrainerOptions { StopTokens = [TinyRun.Vocabulary, TinyRun.Stop] } });
        Assert.That(async () => await stops.Run(), Throws.Nothing);
    }

    [Test]
    public async Task A_gradient_that_is_not_finite_updates_nothing()
    {
        using TinyRun run = new(new TinyOptions()) { LossFactor = float.PositiveInfinity };
        List<int[]> before = run.Bits();
        Assert.That(async () => await run.Run(), Throws.TypeOf<TrainingException>().With.Message.Contains("not finite"));
        Assert.That(run.Bits(), Is.EqualTo(before));
        run.LossFactor = 1;
        _ = await run.Run();
        Assert.That(run.Bits(), Is.Not.EqualTo(before));

        using TinyRun skips = new(new TinyOptions { NonFinite = NonFinitePolicy.Skip }) { LossFactor = float.NaN };
        List<TrainingEvent> events = await skips.Run();
        Assert.That(skips.Bits(), Is.EqualTo(before));
        Assert.That(events.OfType<TrainingWarning>().Count(), Is.EqualTo(12));
    }

    [Test]
    public async Task Meters_and_progress_see_every_step()
    {
        long counted = 0;
        using MeterListener listener = new();
        listener.InstrumentPublished = (instrument, l) =>
        {
            if (instrument.Meter.Name == TrainingMeters.Name && instrument.Name == "graft.training.steps")
            {
                l.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((_, value, _, _) => Interlocked.Add(ref counted, value));
        listener.Start();
        Sink sink = new();
        using TinyRun run = new(new TinyOptions { Trainer = new TrainerOptions { Progress = sink } });
        List<TrainingEvent> events = await run.Run();
        Assert.That(Interlocked.Read(ref counted), Is.GreaterThanOrEqualTo(12));
        Assert.That(sink.Events, Is.EqualTo(events));
        Assert.That(events[^1], Is.EqualTo(new TrainingFinished(12, FinishReason.Completed, null, null)));
    }

    private static void AreClose(TinyRun one, TinyRun other, double tolerance)
    {
        for (int p = 0; p < one.Parameters.Count; p++)
        {
            float[] a = one.Floats(one.Parameters[p]);
            float[] b = other.Floats(other.Parameters[p]);
            for (int i = 0; i < a.Length; i++)
            {
                Assert.That(a[i], Is.EqualTo(b[i]).Within(tolerance), $"{one.Parameters[p].Name}[{i}]");
            }
        }
    }

    private sealed class Sink : IProgress<TrainingEvent>
    {
        public List<TrainingEvent> Events { get; } = [];

        public void Report(TrainingEvent value) => Events.Add(value);
    }
}
