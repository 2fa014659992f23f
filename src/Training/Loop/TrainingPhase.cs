namespace Graft.Training;

/// <summary>A part of a run with its own trained parameters, data, objective, optimizer and end.</summary>
/// <param name="Name">For reports.</param>
/// <param name="Create">Makes the step program, with its parameter sets and optimizers, when the phase is entered; what the one before needed has been given
/// back by then.</param>
/// <param name="Data">Where batches come from.</param>
/// <param name="Steps">Optimizer steps after which the phase ends.</param>
public sealed record TrainingPhase(string Name, Func<IStepProgram> Create, IBatchSource Data, long Steps)
{
    /// <summary>Ends the phase earlier where it holds; asked after every step with its result. Must depend on nothing but the numbers of the run, so that a
    /// resumed run ends it at the same step.</summary>
    public Func<StepResult, bool>? Exit { get; init; }
}
