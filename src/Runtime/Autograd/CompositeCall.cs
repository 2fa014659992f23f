namespace Graft.Runtime;

/// <summary>One run of a composite op.</summary>
public readonly ref struct CompositeCall
{
    private readonly ReadOnlySpan<Tensor> _inputs;
    private readonly List<Tensor> _saved;

    internal CompositeCall(Tape tape, ReadOnlySpan<Tensor> inputs, List<Tensor> saved, Needs needs)
    {
        Tape = tape;
        _inputs = inputs;
        _saved = saved;
        Needs = needs;
    }

    /// <summary>Runs ops, records nothing. What is allocated here and neither returned nor saved ends with the call.</summary>
    public Tape Tape { get; }

    /// <summary>Which inputs will need a gradient; none where nothing is recorded.</summary>
    public Needs Needs { get; }

    /// <summary>How many inputs were given.</summary>
    public int Count => _inputs.Length;

    /// <summary>An input.</summary>
    public Tensor Input(int i) => _inputs[i];

    /// <summary>Offers an intermediate result to backward, as the next extra of <c>Saves</c>.</summary>
    public void Save(Tensor tensor) => _saved.Add(tensor);
}
