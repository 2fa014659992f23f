using Graft.Runtime;

namespace Graft.Training.Tests.Loop;

/// <summary>Profiled steps: which ones, what they say, and that they are the steps they would have been.</summary>
public sealed class ProfileTests
{
    private static readonly TinyOptions s_run = new() { TrainBase = true, Steps = 6, Accumulation = 2 };

    [Test]
    public async Task The_asked_steps_are_profiled_and_add_up_to_the_measured_time()
    {
        using TinyRun run = new(s_run with { Trainer = new TrainerOptions { Profile = new StepProfileOptions { Skip = 2, Steps = 3 } } });
        List<TrainingEvent> events = await run.Run();
        StepProfiled[] profiled = [.. events.OfType<StepProfiled>()];
        Assert.That(profiled.Select(p => p.Step), Is.EqualTo(new[] { 3, 4, 5 }));
        foreach (StepProfiled step in profiled)
        {
            StepCompleted completed = (StepCompleted)events[events.IndexOf(step) - 1];
            Assert.That(completed.Step, Is.EqualTo(step.Step));
            Assert.That(step.OutsideSeconds, Is.GreaterThanOrEqualTo(0));
            Assert.That(step.Families.Select(f => f.Seconds), Is.Ordered.Descending.And.All.GreaterThanOrEqualTo(0));
            Assert.That(step.Seconds, Is.GreaterThan(0).And.LessThanOrEqualTo(completed.Seconds));
            Assert.That(step.Families.Single(f => (f.Name, f.Phase) == ("linear", ProfilePhase.Forward)).Calls, Is.EqualTo(2 * 3));
            Assert.That(step.Families.Where(f => f.Phase == ProfilePhase.Step).Select(f => (f.Name, f.Calls)),
                Is.EquivalentTo(new[] { ("data", 1L), ("clip", 1L), ("update", 1L) }));

            // F32: gradients read; values, first and second moments read and written.
            Assert.That(step.Families.Single(f => f.Name == "update").Bytes, Is.EqualTo(7 * sizeof(float) * run.Parameters.Sum(p => p.Shape.Count)));
        }

        Assert.That(run.Trainer.Profile!.Spans.ToArray().Count(s => s.Name == "step"), Is.EqualTo(3));
    }

    [Test]
    public async Task A_profile_changes_no_bit([Values] bool checkpointing)
    {
        TinyOptions shape = s_run with { Checkpointing = checkpointing };
        using TinyRun plain = new(shape);
        using TinyRun profiled = new(shape with { Trainer = new TrainerOptions { Profile = new StepProfileOptions() } });
        _ = await plain.Run();
        List<TrainingEvent> events = await profiled.Run();
        Assert.That(profiled.Bits(), Is.EqualTo(plain.Bits()));
        Assert.That(events.OfType<StepProfiled>().All(p => p.Families.Any(f => f.Phase == ProfilePhase.Recompute) == checkpointing));
    }

    [Test]
    public async Task A_run_of_few_steps_is_profiled_at_its_end()
    {
        using TinyRun run = new(s_run with { Steps = 2, Trainer = new TrainerOptions { Profile = new StepProfileOptions { Skip = 10 } } });
        Assert.That((await run.Run()).OfType<StepProfiled>().Select(p => p.Step), Is.EqualTo(new[] { 2 }));
    }

    [Test]
    public async Task A_run_without_a_profile_has_none()
    {
        using TinyRun run = new(s_run);
        Assert.That((await run.Run()).OfType<StepProfiled>(), Is.Empty);
        Assert.That(run.Trainer.Profile, Is.Null);
    }
}
