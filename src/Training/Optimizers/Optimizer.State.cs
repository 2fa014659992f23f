using Graft.Runtime;
using Graft.Training.Checkpoints;

namespace Graft.Training.Optimizers;

public sealed partial class Optimizer : IStateful
{
    /// <summary>Writes step count and base rate; the rule's state is the parameter set's.</summary>
    public void Save(StateWriter state)
    {
        ArgumentNullException.ThrowIfNull(state);
        state.Put("step", Step);
        state.Put("base_learning_rate", BaseLearningRate);
        state.Put("rule", Rule.GetType().Name);
    }

    /// <summary>Takes them back.</summary>
    public void Load(StateReader state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.Text("rule") != Rule.GetType().Name)
        {
            throw new CheckpointException($"section '{state.Section}': the checkpoint was made by {state.Text("rule")}, this run has {Rule.GetType().Name}.");
        }

        Step = state.Int64("step");
        BaseLearningRate = state.Double("base_learning_rate");
    }
}
