using System.Globalization;
using Graft.Runtime;
using Graft.Training.Checkpoints;

namespace Graft.Training;

public sealed partial class Trainer
{
    private const string StateName = "trainer_state.json";

    // The loss of the evaluation at this step, if there was one: what the best checkpoint is chosen by.
    private double? _metric;

    /// <summary>Writes a checkpoint now; between events, where the run stands after a whole step.</summary>
    /// <returns>Its folder.</returns>
    /// <exception cref="InvalidOperationException">The run has no folder for checkpoints or has not begun.</exception>
    /// <exception cref="CheckpointException">It could not be written.</exception>
    public string Save()
    {
        if (Store is null || _program is null)
        {
            throw new InvalidOperationException("There is nothing to save, or nowhere to: give the run a CheckpointFolder and begin it.");
        }

        List<StateWriter> sections = [Section("program", _program), Section("data", _phases[State.Phase].Data)];
        for (int i = 0; i < _program.Sets.Count; i++)
        {
            sections.Add(Section(SetName(i), _program.Sets[i]));
        }

        foreach ((string name, IStateful state) in Stateful)
        {
            sections.Add(Section("state." + name, state));
        }

        StateWriter earlier = new("earlier");
        foreach (Parameter parameter in _earlier.Where(p => !IsActive(p)))
        {
            earlier.Put(parameter.Name, parameter.Value);
        }

        sections.Add(earlier);
        double? metric = State.BestStep == State.GlobalStep ? State.BestMetric : _metric;
        return Store.Save(State.GlobalStep, metric, sections, new Dictionary<string, string> { [StateName] = State.ToJson() });
    }

    /// <summary>Copies everything that what comes next depends on, in host memory; between events.</summary>
    /// <exception cref="InvalidOperationException">The run has not begun.</exception>
    public TrainerSnapshot TakeSnapshot()
    {
        if (_program is null)
        {
            throw new InvalidOperationException("The run has not begun: there is nothing to go back to.");
        }

        StateSnapshot parts = StateSnapshot.Take([_program, _phases[State.Phase].Data, .. _program.Sets, .. Stateful.Values]);
        return new TrainerSnapshot(parts, State.ToJson(), State.Phase, _evaluationDue, _saveDue, _stopped, _metric);
    }

    /// <summary>Goes back to a snapshot of this run; what follows is the same to the bit, unless something is changed before.</summary>
    /// <exception cref="InvalidOperationException">The run stands in another phase by now, whose parameters are others.</exception>
    public void Restore(TrainerSnapshot snapshot)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        if (_program is null || State.Phase != snapshot.Phase)
        {
            throw new InvalidOperationException($"The snapshot was taken in phase {snapshot.Phase} and the run stands in phase {State.Phase}: go back within " +
                $"a phase.");
        }

        snapshot.Parts.Restore();
        State = TrainerState.FromJson(snapshot.State, "snapshot");
        (_stopping.Reference, _stopping.BadCount) = (State.StoppingReference, State.StoppingCount);
        (_evaluationDue, _saveDue, _stopped, _metric) = (snapshot.EvaluationDue, snapshot.SaveDue, snapshot.Stopped, snapshot.Metric);
        _finished = false;
        _events.Clear();
    }

    private static StateWriter Section(string name, IStateful stateful)
    {
        StateWriter writer = new(name);
        stateful.Save(writer);
        return writer;
    }

    private static string SetName(int i) => string.Create(CultureInfo.InvariantCulture, $"parameters{i}");

    private bool IsActive(Parameter parameter) => _program!.Sets.Any(s => s.Find(parameter) is { IsActive: true });

    private void SaveCheckpoint()
    {
        string path = Save();
        _saveDue = false;
        _metric = null;
        Tell(new CheckpointSaved(State.GlobalStep, path));
    }

    private string? LoadLatest()
    {
        using RunCheckpoint? checkpoint = Store?.OpenLatest(e => Tell(new TrainingWarning(State.GlobalStep, $"a checkpoint was passed over: {e.Message}")));
        if (checkpoint is null)
        {
            return null;
        }

        string file = Path.Combine(checkpoint.Path, StateName);
        TrainerState state = TrainerState.FromJson(File.ReadAllText(file), file);
        if (state.Phase >= _phases.Count)
        {
            throw new CheckpointException($"{file}: the checkpoint stands in phase {state.Phase}, this run has {_phases.Count}.");
        }

        if (state.Seed != _options.Seed)
        {
            throw new CheckpointException($"{file}: the checkpoint was made with the seed {state.Seed}, this run has {_options.Seed}: resume with the same " +
                "seed.");
        }

        state.MaxSteps = State.MaxSteps;
        State = state;
        Enter();
        (_stopping.Reference, _stopping.BadCount) = (state.StoppingReference, state.StoppingCount);
        _stopped = _stopping.ShouldStop;
        State.PhaseDone = State.PhaseDone && (_stopped || State.PhaseStep >= _phases[State.Phase].Steps || _phases[State.Phase].Exit is not null);
        Load(checkpoint, "program", _program!);
        Load(checkpoint, "data", _phases[State.Phase].Data);
        LoadParameters(checkpoint);
        foreach ((string name, IStateful stateful) in Stateful)
        {
            Load(checkpoint, "state." + name, stateful);
        }

        return checkpoint.Path;
    }

    /// <summary>The values of another checkpoint, for the end of a run: the best instead of the last.</summary>
    private void LoadValues(string path)
    {
        using RunCheckpoint checkpoint = RunCheckpoint.Open(path);
        string file = Path.Combine(path, StateName);
        if (TrainerState.FromJson(File.ReadAllText(file), file).Phase == State.Phase)
        {
            LoadParameters(checkpoint);
        }
        else
        {
            Tell(new TrainingWarning(State.GlobalStep, $"the best checkpoint {path} is of another phase: the weights are the last ones."));
        }
    }

    private void LoadParameters(RunCheckpoint checkpoint)
    {
        for (int i = 0; i < _program!.Sets.Count; i++)
        {
            Load(checkpoint, SetName(i), _program.Sets[i]);
        }

        using StateReader earlier = checkpoint.Section("earlier");
        Dictionary<string, Parameter> known = new(StringComparer.Ordinal);
        foreach (Parameter parameter in _options.Parameters.Concat(_program.Sets.SelectMany(s => s.All).Select(e => e.Parameter)))
        {
            known[parameter.Name] = parameter;
        }

        foreach (string name in earlier.TensorNames)
        {
            if (!known.TryGetValue(name, out Parameter? parameter))
            {
                throw new CheckpointException($"{checkpoint.Path}: '{name}' was trained in an earlier phase, and this run does not know it: give all " +
                    "parameters of the model in TrainerOptions.Parameters.");
            }

            _ = _earlier.Add(parameter);
            earlier.Read(name, parameter.Value);
        }
    }

    private static void Load(RunCheckpoint checkpoint, string section, IStateful stateful)
    {
        using StateReader reader = checkpoint.Section(section);
        stateful.Load(reader);
    }
}
