namespace Graft.Runtime;

/// <summary>A named tensor that training may change, with its gradient. Frozen unless <see cref="Trainable"/> is set; a frozen one gets no gradient and is never written.</summary>
public sealed class Parameter
{
    private readonly ParameterSource _source;

    /// <summary>A parameter on existing memory.</summary>
    /// <param name="name">The checkpoint's name, e.g. `model.layers.0.self_attn.q_proj.weight`.</param>
    /// <param name="value">Its elements; in a persistent arena.</param>
    /// <param name="trainable">True where it gets gradients from the start.</param>
    public Parameter(string name, Tensor value, bool trainable = false)
    {
        ArgumentNullException.ThrowIfNull(value);
        Name = name;
        Trainable = trainable;
        _source = new ParameterSource(this);
        Value = Bound(value);
    }

    /// <summary>The checkpoint's name.</summary>
    public string Name { get; }

    /// <summary>Its elements.</summary>
    public Tensor Value { get; private set; }

    /// <summary>Axis lengths of the value.</summary>
    public Shape Shape => Value.Shape;

    /// <summary>Whether a tape records what depends on it. May change between steps.</summary>
    public bool Trainable { get; set; }

    /// <summary>The gradient's memory, F32 and of the value's shape; null until one was needed or bound. Its content counts only while <see cref="HasGradient"/>.</summary>
    public Tensor? Gradient { get; private set; }

    /// <summary>True from the first contribution after <see cref="ClearGradient"/> on: the first assigns, later ones add.</summary>
    public bool HasGradient { get; internal set; }

    /// <summary>Forgets the gradient's content; costs nothing.</summary>
    public void ClearGradient() => HasGradient = false;

    /// <summary>The gradient's memory for sources other than a tape (estimates from losses, exchange between ranks), from now on counted as a gradient.</summary>
    /// <param name="accumulate">True where it holds a contribution that must be added to; false where all elements must be written.</param>
    public Tensor GradientTarget(out bool accumulate)
    {
        accumulate = HasGradient;
        HasGradient = true;
        return GradientMemory();
    }

    /// <summary>Says where the gradient lies, e.g. a part of one flat block of all gradients.</summary>
    /// <exception cref="ShapeException">Another shape, or not F32.</exception>
    public void BindGradient(Tensor? gradient)
    {
        if (gradient is not null && (gradient.Shape != Shape || gradient.DType != GradientSlot.GradientType(Value.DType)))
        {
            throw new ShapeException($"{Name}: a gradient of {gradient.Spec} was bound; it must be {Shape} {GradientSlot.GradientType(Value.DType).Name()}.");
        }

        Gradient = gradient;
        HasGradient = false;
    }

    /// <summary>Moves the parameter to other memory of the same shape (a flat block, another dtype, a mutated base). The caller copies the elements.</summary>
    /// <exception cref="ShapeException">Another shape.</exception>
    public void Rebind(Tensor value)
    {
        ArgumentNullException.ThrowIfNull(value);
        if (value.Shape != Shape)
        {
            throw new ShapeException($"{Name}: a value of {value.Spec} cannot take the place of {Value.Spec}.");
        }

        Value = Bound(value);
    }

    /// <summary>As in messages: name, shape, dtype.</summary>
    public override string ToString() => $"{Name} {Value.Spec}";

    internal Tensor GradientMemory() => Gradient ??=
        Value.Arena.Allocate(Shape, GradientSlot.GradientType(Value.DType), MemoryCategory.Gradients, Name + ".gradient");

    private Tensor Bound(Tensor value) => value.Renamed(Name, _source);

    internal sealed class ParameterSource(Parameter parameter) : GradientSource
    {
        public Parameter Parameter { get; } = parameter;

        public override bool RequiresGradient(Tape tape) => Parameter.Trainable;

        public override void Accumulate(Tape tape, int index, Tensor gradient)
        {
            Tensor target = Target(tape, index, out bool accumulate);
            if (accumulate)
            {
                tape.AddInto(target, gradient);
            }
            else
            {
                tape.Device.CastInto(target, gradient);
            }
        }

        public override Tensor Target(Tape tape, int index, out bool accumulate)
        {
            return Parameter.GradientTarget(out accumulate);
        }
    }
}
