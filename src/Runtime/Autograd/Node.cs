namespace Graft.Runtime;

/// <summary>One recorded op: what it read, what it made, and the gradients that arrive at its outputs.</summary>
internal abstract class Node : GradientSource
{
    private GradientSlot _gradient; // of the first output; most nodes have one
    private GradientSlot[]? _more;

    public required Tape Tape { get; init; }

    public required Tensor[] Inputs { get; init; }

    /// <summary>The first output; most nodes have one.</summary>
    public required Tensor Output { get; init; }

    /// <summary>The outputs behind the first.</summary>
    public Tensor[] Rest { get; init; } = [];

    public int OutputCount => 1 + Rest.Length;

    public required Tensor[] Extras { get; init; }

    public required Needs Needs { get; init; }

    /// <summary>False for views: their memory belongs to somebody else.</summary>
    public bool OwnsOutputs { get; init; } = true;

    public Saves Saves { get; private set; }

    public abstract OpInfo Info { get; }

    /// <summary>What a profile counts it under.</summary>
    public virtual string Family => Info.Name;

    public abstract void Backward(BackwardCall c);

    /// <summary>What backward moves and computes; none where that is up to the ops inside it.</summary>
    public virtual OpCost Cost() => default;

    public override bool RequiresGradient(Tape tape) => tape == Tape;

    public Tensor OutputAt(int i) => i == 0 ? Output : Rest[i - 1];

    public override void Accumulate(Tape tape, int index, Tensor gradient) => Slot(index).Accumulate(tape, OutputAt(index).Spec, gradient);

    public override Tensor Target(Tape tape, int index, out bool accumulate) => Slot(index).Target(tape, OutputAt(index).Spec, out accumulate);

    public Tensor? Gradient(int output) => Slot(output).Value;

    public bool HasGradient
    {
        get
        {
            bool any = _gradient.HasValue;
            for (int i = 0; i < (_more?.Length ?? 0); i++)
            {
                any |= _more![i].HasValue;
            }

            return any;
        }
    }

    /// <summary>Takes hold of what backward will read and lets go of the rest.</summary>
    public void Retain(Saves saves)
    {
        Saves = saves;
        _more = Rest.Length > 0 ? new GradientSlot[Rest.Length] : null;
        ForSaved(static storage => storage.Retain());
        foreach (Tensor extra in Extras)
        {
            extra.Disown();
        }

        for (int i = 0; i < OutputCount; i++)
        {
            OutputAt(i).Source = this;
            OutputAt(i).OutputIndex = i;
        }
    }

    /// <summary>Releases the gradients of the outputs alone, so that the recording can be walked again.</summary>
    public void ReleaseGradients()
    {
        for (int i = 0; i < OutputCount; i++)
        {
            Slot(i).Release();
        }
    }

    /// <summary>Releases everything: what was saved, the gradients, and the outputs, which nothing before this node reads.</summary>
    public void Release()
    {
        ReleaseGradients();
        ForSaved(static storage => storage.Release());
        Saves = default;
        if (OwnsOutputs)
        {
            for (int i = 0; i < OutputCount; i++)
            {
                Tensor output = OutputAt(i);
                if (output.IsAlive && !output.Storage.IsPinned)
                {
                    output.Disown();
                }
            }
        }
    }

    private ref GradientSlot Slot(int output) => ref output == 0 ? ref _gradient : ref _more![output - 1];

    private void ForSaved(Action<Storage> action)
    {
        Visit(Inputs, Saves.Inputs, action);
        for (int i = 0; i < OutputCount; i++)
        {
            if ((Saves.Outputs >> i & 1) != 0)
            {
                action(OutputAt(i).Storage);
            }
        }

        Visit(Extras, Saves.Saved, action);
    }

    private static void Visit(Tensor[] tensors, uint mask, Action<Storage> action)
    {
        for (int i = 0; i < tensors.Length; i++)
        {
            if ((mask >> i & 1) != 0)
            {
                action(tensors[i].Storage);
            }
        }
    }
}

/// <summary>A recorded op with a kernel.</summary>
internal sealed class OpNode<TOp>(TOp op) : Node
    where TOp : struct, IOp<TOp>
{
    private readonly TOp _op = op;

    public override OpInfo Info => OpInfoOf<TOp>.Value;

    public override void Backward(BackwardCall c) => TOp.Backward(in _op, c);

    public override OpCost Cost() => TOp.Cost(in _op, new CostCall(this));
}

/// <summary>A recorded composite.</summary>
internal sealed class CompositeNode<TOp>(TOp op, OpInfo info) : Node
    where TOp : struct, ICompositeOp<TOp>
{
    private readonly TOp _op = op;

    public override OpInfo Info { get; } = info;

    public override void Backward(BackwardCall c) => TOp.Backward(in _op, c);
}

/// <summary>A reshape or an offset into the same memory.</summary>
internal sealed class ViewNode(long elementOffset) : Node
{
    private static readonly OpInfo s_info = new("view", 1);

    public override OpInfo Info => s_info;

    public override void Backward(BackwardCall c)
    {
        Tensor dy = c.OutputGradient;
        TensorSpec whole = c.InputSpec(0);
        if (dy.Shape.Count == whole.Shape.Count)
        {
            c.Accumulate(0, dy);
            return;
        }

        Tensor dx = c.Target(0, out bool accumulate);
        if (!accumulate)
        {
            dx.Clear();
        }

        c.Tape.AddInto(dx.Alias(dy.Shape, elementOffset), dy);
    }
}

/// <summary>The info of an op, made once.</summary>
internal static class OpInfoOf<TOp>
    where TOp : struct, IForwardOp<TOp>
{
    public static readonly OpInfo Value = TOp.Info;
}
