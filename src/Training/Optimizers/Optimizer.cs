using Graft.Runtime;
using Graft.Training.Numerics;

namespace Graft.Training.Optimizers;

/// <summary>An update rule at work on a parameter set: learning rate, schedule and step count.</summary>
/// <remarks>Same bits on any number of threads. Parameters without a gradient are left alone entirely: no decay, no step counted.</remarks>
public sealed partial class Optimizer
{
    private readonly List<FlatRun> _runs = [];
    private readonly ScaledUpdates _scaled = new();

    /// <summary>An optimizer at step 0; allocates the rule's state in the set.</summary>
    /// <param name="parameters">What it trains; one optimizer per set.</param>
    /// <param name="rule">How; groups of the set may have rules of their own.</param>
    /// <param name="learningRate">The base rate, before schedule and groups.</param>
    /// <param name="schedule">The course of the rate; null holds it.</param>
    public Optimizer(ParameterSet parameters, IOptimizerRule rule, double learningRate, ISchedule? schedule = null)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(rule);
        ArgumentOutOfRangeException.ThrowIfNegative(learningRate);
        Parameters = parameters;
        Rule = rule;
        BaseLearningRate = learningRate;
        Schedule = schedule ?? new ConstantSchedule();
        Workspace = parameters.Arena;
        parameters.UseRules(RuleOf);
    }

    /// <summary>What it trains.</summary>
    public ParameterSet Parameters { get; }

    /// <summary>The rule of groups without their own.</summary>
    public IOptimizerRule Rule { get; }

    /// <summary>The rate before schedule and groups; an outside controller may set it between steps.</summary>
    public double BaseLearningRate { get; set; }

    /// <summary>The course of the rate.</summary>
    public ISchedule Schedule { get; set; }

    /// <summary>Updates done.</summary>
    public long Step { get; private set; }

    /// <summary>The rate of the next update, before groups.</summary>
    public double LearningRate => Schedule.Rate(Step, BaseLearningRate);

    /// <summary>Where rules that see parameters whole compute; the set's arena unless set.</summary>
    public Arena Workspace { get; set; }

    /// <summary>Raised after every update: projections, gates, growth and pruning act here, with state readable and resettable per entry.</summary>
    public event Action<Optimizer>? Updated;

    /// <summary>The rule that a parameter is updated by.</summary>
    public IOptimizerRule RuleOf(ParameterEntry entry)
    {
        ArgumentNullException.ThrowIfNull(entry);
        return entry.Group.Rule ?? Rule;
    }

    /// <summary>Updates every trained parameter that has a gradient, and counts the step. Gradients stay: clear them before the next backward.</summary>
    public void Update() => Update(1);

    /// <summary>The same with gradients multiplied by a factor, as clipping wants it (<see cref="GradientClipping.Coefficient"/>).</summary>
    /// <remarks>Rules with <see cref="IUpdateRule.ScalesGradients"/> on the CPU multiply what they read, which spares a pass over all gradients; if one of the others is at work,
    /// the gradients themselves are multiplied first.</remarks>
    public void Update(float gradientScale)
    {
        Parameters.MaskGradients();
        using Scope scope = Workspace.Enter("update");
        _scaled.Begin(Parameters, Workspace);
        double rate = LearningRate;
        FindRuns();
        if (gradientScale != 1 && !(Parameters.Arena.Device.IsHost && _runs.TrueForAll(r => RuleOf(Parameters.Active[r.First]) is IUpdateRule { ScalesGradients: true })))
        {
            GradientClipping.Scale(gradientScale, Parameters);
            gradientScale = 1;
        }

        foreach (FlatRun run in _runs)
        {
            ParameterEntry first = Parameters.Active[run.First];
            IOptimizerRule rule = RuleOf(first);
            double decay = first.Group.WeightDecay ?? rule.WeightDecay;
            if (rule is IUpdateRule flat)
            {
                Flat(run, first, flat, rate * first.Group.LearningRateFactor, decay, gradientScale);
            }
            else
            {
                Whole(first, (ITensorUpdateRule)rule, rate * first.Group.LearningRateFactor, decay);
            }

            for (int i = run.First; i <= run.Last; i++)
            {
                Parameters.Active[i].Steps++;
            }
        }

        _scaled.End();
        Step++;
        Updated?.Invoke(this);
    }

    /// <summary>What the next update moves, each tensor once: gradients read, values and state read and written, 16-bit copies written.</summary>
    internal long UpdateBytes()
    {
        return Parameters.Active.Where(e => e.Parameter.HasGradient).Sum(e =>
            e.Parameter.Gradient!.Spec.Bytes + (2 * e.Values.Spec.Bytes) + (2 * e.State.Sum(s => s.Spec.Bytes)) + (e.IsLow ? e.Parameter.Value.Spec.Bytes : 0));
    }

    /// <summary>Cuts the trained parameters into ranges that one call can do: neighbours in all blocks, one group, one step count, no mask, no 16-bit copy to
    /// write.</summary>
    private void FindRuns()
    {
        _runs.Clear();
        IReadOnlyList<ParameterEntry> active = Parameters.Active;
        for (int i = 0; i < active.Count; i++)
        {
            ParameterEntry entry = active[i];
            if (!entry.Parameter.HasGradient)
            {
                continue;
            }

            if (_runs.Count > 0 && _runs[^1] is var run && run.Last == i - 1 && active[run.First] is var first
                && first.Group == entry.Group && first.Steps == entry.Steps && first.Frozen is null && entry.Frozen is null
                && Parameters.IsFlat && !entry.IsLow && RuleOf(entry) is IUpdateRule)
            {
                _runs[^1] = run with { Last = i };
            }
            else
            {
                _runs.Add(new FlatRun(i, i));
            }
        }
    }

    private void Flat(FlatRun run, ParameterEntry first, IUpdateRule rule, double rate, double decay, float gradientScale)
    {
        ParameterEntry last = Parameters.Active[run.Last];
        int count = last.Offset + (int)last.Count - first.Offset;
        Device device = Parameters.Arena.Device;
        if (!device.Computes || count == 0)
        {
            return;
        }

        UpdateWork work = new()
        {
            Rule = rule,
            SlotCount = rule.Slots,
            LearningRate = rate,
            WeightDecay = decay,
            Step = first.Steps + 1,
            GradientScale = gradientScale,
        };
        if (!device.IsHost)
        {
            work.UpdateOnDevice(Parameters.Range(first, count));
            if (first.Master is { } master)
            {
                LowPrecision.Narrow(master, first.Parameter.Value);
            }

            return;
        }

        work.Parameter = FlatAddress<float>.Of(first.Values);
        work.Gradient = FlatAddress<float>.Of(first.Parameter.Gradient!);
        work.Frozen = first.Frozen is { } frozen ? FlatAddress<byte>.Of(frozen) : default;
        work.LowBFloat16 = first.Parameter.Value.DType == DType.BF16 ? FlatAddress<BFloat16>.Of(first.Parameter.Value) : default;
        work.LowHalf = first.Parameter.Value.DType == DType.F16 ? FlatAddress<Half>.Of(first.Parameter.Value) : default;
        for (int i = 0; i < rule.Slots; i++)
        {
            work.Slots[i] = FlatAddress<float>.Of(first.SlotViews[i]).Value;
        }

        FlatWork.Run(device, count, work);
    }

    private void Whole(ParameterEntry entry, ITensorUpdateRule rule, double rate, double decay)
    {
        using Scope scope = Workspace.Enter("update " + entry.Name);
        rule.Update(new TensorUpdateCall
        {
            Entry = entry,
            Parameter = entry.Values,
            Gradient = entry.Parameter.Gradient!,
            Tape = Tape.None(Workspace),
            LearningRate = rate,
            WeightDecay = decay,
            Step = entry.Steps + 1,
        });
        if (entry.Master is { } master)
        {
            LowPrecision.Narrow(master, entry.Parameter.Value);
        }
    }

    private readonly record struct FlatRun(int First, int Last);
}
