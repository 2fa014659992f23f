using Graft.Runtime;

namespace Graft.Training;

/// <summary>What a run will need, found by its first step on the meta device, before anything is allocated. All figures in bytes of arenas, exact on the
/// CPU.</summary>
/// <param name="Persistent">Held between steps: weights, gradients, optimizer, by category.</param>
/// <param name="StepPeak">Most that a step holds besides, by category at that moment.</param>
/// <param name="Result">Counts of the step; its numbers mean nothing.</param>
public sealed record TrainingPlan(MemoryUse Persistent, MemoryUse StepPeak, StepResult Result)
{
    /// <summary>Most bytes held at any moment of a step.</summary>
    public long Peak => Persistent.Total + StepPeak.Total;

    /// <summary>Runs the first step of a run.</summary>
    /// <param name="trainer">The run, set up on a <see cref="MetaDevice"/> exactly as it will be on another device; it must not have begun.</param>
    /// <exception cref="ArgumentException">The run is on another device, where a step would change it.</exception>
    public static async Task<TrainingPlan> OfAsync(Trainer trainer)
    {
        ArgumentNullException.ThrowIfNull(trainer);
        if (trainer.Device.Computes)
        {
            throw new ArgumentException($"A plan is made on the meta device; the run is on {trainer.Device.Name}.", nameof(trainer));
        }

        await foreach (TrainingEvent e in trainer.RunAsync().ConfigureAwait(false))
        {
            if (e is StepCompleted step)
            {
                return new TrainingPlan(step.Memory, step.StepPeak, step.Result);
            }
        }

        throw new InvalidOperationException("The run was over before its first step.");
    }
}
