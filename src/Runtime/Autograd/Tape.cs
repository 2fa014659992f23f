using System.Runtime.InteropServices;

namespace Graft.Runtime;

/// <summary>Runs ops at once, on the arena's device, and records what depends on a trainable parameter or a watched tensor, so that <c>Backward</c> can walk it.</summary>
/// <remarks>
/// Backward consumes the recording: as soon as a node's turn is over, what it saved, its outputs and their gradients go back to the arena.
/// After it, only the loss, watched tensors' gradients and pinned tensors can still be read. A tape belongs to one thread.
/// </remarks>
public sealed partial class Tape : IDisposable
{
    private readonly List<Node> _nodes = [];
    private readonly List<WatchedSource> _watched = [];
    private readonly Dictionary<Parameter, int> _uses = [];
    private readonly List<Tensor> _compositeSaved = [];
    private Tape? _eager;

    /// <summary>A tape that records.</summary>
    /// <param name="arena">Takes the results of ops; usually a step's, with a scope open.</param>
    public Tape(Arena arena)
        : this(arena, true)
    {
    }

    private Tape(Arena arena, bool records)
    {
        ArgumentNullException.ThrowIfNull(arena);
        Arena = arena;
        Records = records;
    }

    /// <summary>Called when the last contribution to a parameter's gradient has arrived in a backward; an optimizer may consume the gradient there.</summary>
    public Action<Parameter>? GradientComplete { get; set; }

    /// <summary>Called at every named activation (<see cref="Site"/>) with its name and tensor; what it returns goes on. Capture, accumulate statistics, or inject.</summary>
    public Func<string, Tensor, Tensor>? Tap { get; set; }

    /// <summary>Measures every op that runs here, composites' and recomputed regions' ops included; null, and nothing is measured, unless set.</summary>
    public OpProfile? Profile { get; set; }

    /// <summary>Takes the results of ops.</summary>
    public Arena Arena { get; }

    /// <summary>Where ops run.</summary>
    public Device Device => Arena.Device;

    /// <summary>False for <see cref="None"/>.</summary>
    public bool Records { get; }

    /// <summary>How many ops are recorded and not yet walked.</summary>
    public int Count => _nodes.Count;

    /// <summary>A tape that runs ops and records nothing: inference.</summary>
    public static Tape None(Arena arena) => new(arena, false);

    /// <summary>Opens a scope of the arena.</summary>
    public Scope Enter(string name) => Arena.Enter(name);

    /// <summary>Runs an op and records it if an input requires a gradient; its first output.</summary>
    public Tensor Apply<TOp>(in TOp op, params ReadOnlySpan<Tensor> inputs)
        where TOp : struct, IOp<TOp>
    {
        return Run(in op, inputs, out _, all: false)!;
    }

    /// <summary>Runs an op with several outputs and records it if an input requires a gradient; all outputs.</summary>
    public Tensor[] ApplyAll<TOp>(in TOp op, params ReadOnlySpan<Tensor> inputs)
        where TOp : struct, IOp<TOp>
    {
        _ = Run(in op, inputs, out Tensor[]? outputs, all: true);
        return outputs!;
    }

    /// <summary>Runs an op that has no gradient; its outputs.</summary>
    /// <exception cref="AutogradException">An input requires a gradient: <see cref="Detach"/> it if none is wanted.</exception>
    public Tensor[] Evaluate<TOp>(in TOp op, params ReadOnlySpan<Tensor> inputs)
        where TOp : struct, INonDifferentiableOp<TOp>
    {
        if (NeedsOf(inputs).Any)
        {
            throw new AutogradException($"{OpInfoOf<TOp>.Value.Name} has no gradient, but an input requires one. Detach the input if its gradient is not wanted.");
        }

        Results results = default;
        Forward(in op, inputs, default, ref results);
        DropExtras(ref results);
        return results.OutputArray();
    }

    /// <summary>Runs a composite and records it as one node if an input requires a gradient.</summary>
    public Tensor ApplyComposite<TOp>(in TOp op, params ReadOnlySpan<Tensor> inputs)
        where TOp : struct, ICompositeOp<TOp>
    {
        Needs needs = NeedsOf(inputs);
        OpInfo info = TOp.Info;
        using ProfileSpan span = ProfileSpan.Open(Profile, info.Name, ProfilePhase.Forward);
        _compositeSaved.Clear();
        Tensor output;
        Tensor[] extras;
        using (Scope scope = Arena.Enter(info.Name))
        {
            output = scope.Keep(TOp.Forward(in op, new CompositeCall(Eager(), inputs, _compositeSaved, needs)));
            extras = needs.Any ? [.. _compositeSaved] : [];
            foreach (Tensor extra in extras)
            {
                _ = scope.Keep(extra);
            }
        }

        if (needs.Any)
        {
            output = WithoutSource(output);
            CompositeNode<TOp> node = new(op, info)
            {
                Tape = this,
                Inputs = inputs.ToArray(),
                Output = output,
                Extras = extras,
                Needs = needs,
                OwnsOutputs = !Shares(inputs, output),
            };
            Record(node, TOp.Saves(in op, needs));
        }

        return output;
    }

    /// <summary>The same elements in another shape, or a run of them from <paramref name="elementOffset"/> on; shares the memory, passes gradients.</summary>
    /// <exception cref="ShapeException">The view reaches past the tensor's end.</exception>
    public Tensor View(Tensor x, Shape shape, long elementOffset = 0)
    {
        ArgumentNullException.ThrowIfNull(x);
        if (elementOffset < 0 || elementOffset + shape.Count > x.Shape.Count)
        {
            throw new ShapeException($"view: {shape} from element {elementOffset} on does not fit {x.Spec}.");
        }

        Tensor output = x.Alias(shape, elementOffset);
        Needs needs = NeedsOf([x]);
        if (needs.Any)
        {
            Record(new ViewNode(elementOffset) { Tape = this, Inputs = [x], Output = output, Extras = [], Needs = needs, OwnsOutputs = false }, Saves.Nothing);
        }

        return output;
    }

    /// <summary>The same tensor as a constant: no gradient passes.</summary>
    public static Tensor Detach(Tensor x)
    {
        ArgumentNullException.ThrowIfNull(x);
        return x.Alias(x.Shape);
    }

    /// <summary>The same tensor as a leaf whose gradient is kept: read it by <see cref="GradientOf"/> after backward.</summary>
    public Tensor Watch(Tensor x)
    {
        ArgumentNullException.ThrowIfNull(x);
        WatchedSource source = new(this, x.Spec);
        _watched.Add(source);
        return x.Alias(x.Shape, source: source);
    }

    /// <summary>The gradient of a watched tensor; null where none arrived. Lives until the tape is cleared.</summary>
    public Tensor? GradientOf(Tensor watched)
    {
        ArgumentNullException.ThrowIfNull(watched);
        return watched.Source is WatchedSource source && source.Tape == this ? source.Gradient
            : throw new AutogradException($"{watched} is not watched by this tape: take the gradient of what Watch returned.");
    }

    /// <summary>Names an activation, so that <see cref="Tap"/> can see or replace it.</summary>
    public Tensor Site(string name, Tensor x) => Tap is null ? x : Tap(name, x);

    /// <summary>Keeps a result readable after backward, until its scope ends.</summary>
    public static Tensor Pin(Tensor x)
    {
        ArgumentNullException.ThrowIfNull(x);
        x.Storage.IsPinned = true;
        return x;
    }

    /// <summary>True where this tape would carry a gradient to the tensor.</summary>
    public bool RequiresGradient(Tensor x)
    {
        ArgumentNullException.ThrowIfNull(x);
        return NeedsOf([x]).Any;
    }

    /// <summary>Forgets the recording and all watched gradients.</summary>
    public void Clear()
    {
        for (int i = _nodes.Count - 1; i >= 0; i--)
        {
            _nodes[i].Release();
        }

        foreach (WatchedSource watched in _watched)
        {
            watched.Release();
        }

        _nodes.Clear();
        _watched.Clear();
        _uses.Clear();
    }

    /// <summary>Forgets the recording.</summary>
    public void Dispose() => Clear();

    internal Tape Eager()
    {
        if (!Records && _touched is null)
        {
            return this;
        }

        _eager ??= None(Arena);
        _eager.Profile = Profile;
        return _eager;
    }

    private Tensor? Run<TOp>(in TOp op, ReadOnlySpan<Tensor> inputs, out Tensor[]? outputs, bool all)
        where TOp : struct, IOp<TOp>
    {
        Needs needs = NeedsOf(inputs);
        Results results = default;
        Forward(in op, inputs, needs, ref results);
        if (needs.Any)
        {
            OpNode<TOp> node = new(op) { Tape = this, Inputs = inputs.ToArray(), Output = results.Outputs[0], Rest = results.RestArray(), Extras = results.ExtraArray(), Needs = needs };
            Record(node, TOp.Saves(in op, needs));
        }
        else
        {
            DropExtras(ref results);
        }

        outputs = all ? results.OutputArray() : null;
        return results.Outputs[0];
    }

    private void Record(Node node, Saves saves)
    {
        node.Retain(saves);
        _nodes.Add(node);
        for (int i = 0; i < node.Inputs.Length; i++)
        {
            if (node.Needs[i] && node.Inputs[i].Source is Parameter.ParameterSource source)
            {
                CollectionsMarshal.GetValueRefOrAddDefault(_uses, source.Parameter, out _)++;
            }
        }
    }

    private Needs NeedsOf(ReadOnlySpan<Tensor> inputs)
    {
        if (!Records && _touched is null)
        {
            return default;
        }

        uint mask = 0;
        for (int i = 0; i < inputs.Length; i++)
        {
            if (inputs[i].Source is { } source && source.RequiresGradient(this))
            {
                mask |= 1u << i;
                if (_touched is not null && source is Parameter.ParameterSource parameter)
                {
                    _ = _touched.Add(parameter.Parameter);
                }
            }
        }

        return Records ? new Needs(mask) : default;
    }

    /// <summary>A function that hands an input through must not take over its source.</summary>
    private static Tensor WithoutSource(Tensor output) => output.Source is null ? output : Detach(output);

    private static bool Shares(ReadOnlySpan<Tensor> inputs, Tensor output)
    {
        foreach (Tensor input in inputs)
        {
            if (input.Storage == output.Storage)
            {
                return true;
            }
        }

        return false;
    }
}
