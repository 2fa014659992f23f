namespace Graft.Runtime;

/// <summary>A part of a forward that can be run again: a layer, a block of layers.</summary>
/// <param name="tape">What to run on; another one each time.</param>
/// <param name="inputs">The region's inputs.</param>
public delegate Tensor Region(Tape tape, ReadOnlySpan<Tensor> inputs);

public sealed partial class Tape
{
    private HashSet<Parameter>? _touched;
    private Tape? _inner;

    /// <summary>Runs a region without keeping what is inside; backward runs it again, records, and walks that. Memory is that of the inputs and of one region at a time.</summary>
    /// <remarks>The region must do the same both times: randomness comes from named streams, never from a running state. Sites inside are tapped both times.</remarks>
    public Tensor Checkpoint(string name, Region region, params ReadOnlySpan<Tensor> inputs)
    {
        ArgumentNullException.ThrowIfNull(region);
        if (!Records)
        {
            return region(this, inputs);
        }

        Needs needs = NeedsOf(inputs);
        Tape trace = new(Arena, false) { _touched = [], Tap = Tap, Profile = Profile };
        Tensor output;
        using (Scope scope = Arena.Enter(name))
        {
            output = scope.Keep(region(trace, inputs));
        }

        if (needs.Any || trace._touched.Count > 0)
        {
            output = WithoutSource(output);
            CheckpointNode node = new(name, region, trace._touched)
            {
                Tape = this,
                Inputs = inputs.ToArray(),
                Output = output,
                Extras = [],
                Needs = needs,
                OwnsOutputs = !Shares(inputs, output),
            };
            Record(node, Saves.Everything with { Outputs = 0 });
            foreach (Parameter parameter in trace._touched)
            {
                _ = _uses.TryGetValue(parameter, out int uses);
                _uses[parameter] = uses + 1;
            }
        }

        return output;
    }

    /// <summary>A region to be run again.</summary>
    private sealed class CheckpointNode(string name, Region region, HashSet<Parameter> touched) : Node
    {
        public override OpInfo Info { get; } = new(name, 0);

        // Regions have names of their own, one for each layer.
        public override string Family => "checkpoint";

        public IReadOnlySet<Parameter> Touched => touched;

        public override void Backward(BackwardCall c)
        {
            // Taken out while in use, so that a region within the region gets one of its own.
            Tape inner = Tape._inner ?? new Tape(Tape.Arena);
            Tape._inner = null;
            (inner.Tap, inner.Profile) = (Tape.Tap, Tape.Profile);
            Tensor[] leaves = new Tensor[Inputs.Length];
            for (int i = 0; i < leaves.Length; i++)
            {
                leaves[i] = Needs[i] ? inner.Watch(Inputs[i]) : Detach(Inputs[i]);
            }

            Tensor output;
            using (ProfileSpan span = ProfileSpan.Open(inner.Profile, Family, ProfilePhase.Recompute))
            {
                output = region(inner, leaves);
            }

            inner.Backward(output, c.OutputGradient);
            for (int i = 0; i < leaves.Length; i++)
            {
                if (Needs[i] && inner.GradientOf(leaves[i]) is { } gradient)
                {
                    c.Accumulate(i, gradient);
                }
            }

            inner.Clear();
            Tape._inner = inner;
        }
    }
}
