namespace Graft.Runtime;

public sealed partial class Tape
{
    /// <summary>Adds the gradient of <paramref name="loss"/>, times <paramref name="scale"/>, to every trainable parameter and watched tensor it depends on.</summary>
    /// <param name="loss">A tensor of one element.</param>
    /// <param name="scale">The gradient of the loss with respect to itself.</param>
    /// <param name="keep">True leaves the recording in place for another backward (two gradients of one batch).</param>
    /// <exception cref="AutogradException">The loss depends on nothing that requires a gradient.</exception>
    public void Backward(Tensor loss, float scale = 1, bool keep = false)
    {
        ArgumentNullException.ThrowIfNull(loss);
        if (loss.Shape.Count != 1)
        {
            throw new ShapeException($"Backward starts at a loss of one element; {loss} was given. Reduce it, or give its gradient.");
        }

        using Scope scope = Arena.Enter("backward");
        Tensor seed = Arena.Allocate(loss.Shape, Device.GradientType(loss.DType), MemoryCategory.Activations);
        Device.FillWith(seed, scale);
        Backward(loss, seed, keep);
    }

    /// <summary>The same from a tensor of any shape and the gradient with respect to it.</summary>
    /// <param name="output">Where to start.</param>
    /// <param name="gradient">As many elements as <paramref name="output"/>; read, never written.</param>
    /// <param name="keep">True leaves the recording in place for another backward.</param>
    public void Backward(Tensor output, Tensor gradient, bool keep = false)
    {
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(gradient);
        if (output.Source is not { } source || !source.RequiresGradient(this))
        {
            throw new AutogradException(
                $"{output} depends on nothing that requires a gradient on this tape: no trainable parameter or watched tensor went into it, or the recording was walked before.");
        }

        source.Accumulate(this, output.OutputIndex, gradient);
        output.Storage.IsPinned = true;
        for (int i = _nodes.Count - 1; i >= 0; i--)
        {
            Node node = _nodes[i];
            if (node.HasGradient)
            {
                Backward(node);
            }

            if (keep)
            {
                node.ReleaseGradients();
                continue;
            }

            node.Release();
            CountUses(node);
            _nodes.RemoveAt(i);
        }

        if (!keep)
        {
            _uses.Clear();
        }
        else
        {
            foreach (Parameter parameter in _uses.Keys)
            {
                GradientComplete?.Invoke(parameter);
            }
        }
    }

    private void Backward(Node node)
    {
        using ProfileSpan span = ProfileSpan.Open(Profile, node.Family, ProfilePhase.Backward);
        using Scope scope = Arena.Enter(node.Info.Name);
        try
        {
            node.Backward(new BackwardCall(Eager(), node));
        }
        catch (OutOfDeviceMemoryException e)
        {
            throw e.During($"{node.Info.Name}, backward");
        }

        if (Profile is not null)
        {
            span.Moves(node.Cost());
        }
    }

    /// <summary>target += gradient, same number of elements.</summary>
    internal void AddInto(Tensor target, Tensor gradient) => Device.AddInto(target, gradient);

    private void CountUses(Node node)
    {
        for (int i = 0; i < node.Inputs.Length; i++)
        {
            if (node.Needs[i] && node.Inputs[i].Source is Parameter.ParameterSource source)
            {
                Used(source.Parameter);
            }
        }

        if (node is CheckpointNode region)
        {
            foreach (Parameter parameter in region.Touched)
            {
                Used(parameter);
            }
        }
    }

    private void Used(Parameter parameter)
    {
        if (--_uses[parameter] == 0)
        {
            GradientComplete?.Invoke(parameter);
        }
    }

    /// <summary>A leaf whose gradient is kept.</summary>
    private sealed class WatchedSource(Tape tape, TensorSpec spec) : GradientSource
    {
        private GradientSlot _slot;

        public Tape Tape { get; } = tape;

        public Tensor? Gradient => _slot.Value;

        public override bool RequiresGradient(Tape tape) => tape == Tape;

        public override void Accumulate(Tape tape, int index, Tensor gradient) => _slot.Accumulate(tape, spec, gradient);

        public override Tensor Target(Tape tape, int index, out bool accumulate) => _slot.Target(tape, spec, out accumulate);

        public void Release() => _slot.Release();
    }
}
