using Graft.Runtime;

namespace Graft.Models.Layers;

/// <summary>Rotary position embeddings of a model: a table of cosines and sines beside the weights, which grows when longer sequences come.</summary>
public sealed class Rotary
{
    // Longer tables are made when they are needed: 128k positions of 128 numbers would be 64 MiB that most runs never read.
    private const int FirstPositions = 2048;

    private readonly Arena _weights;
    private readonly RotaryOptions _options;
    private readonly int _maxPositions;

    /// <summary>A table in the arena of the weights.</summary>
    public Rotary(Arena weights, RotaryOptions options, int maxPositions)
    {
        _weights = weights;
        _options = options;
        _maxPositions = maxPositions;
        Table = RotaryTable.Create(weights, options, Math.Min(maxPositions, FirstPositions));
    }

    /// <summary>The table.</summary>
    public RotaryTable Table { get; private set; }

    /// <summary>Makes sure that the table holds so many positions.</summary>
    /// <exception cref="ShapeException">The model is not made for so many.</exception>
    public void Prepare(int positions)
    {
        if (positions <= Table.Positions)
        {
            return;
        }

        if (positions > _maxPositions)
        {
            throw new ShapeException($"Position {positions - 1} was given; max_position_embeddings is {_maxPositions}. Use shorter sequences.");
        }

        _weights.Free(Table.Cos);
        _weights.Free(Table.Sin);
        Table = RotaryTable.Create(_weights, _options, (int)Math.Min(_maxPositions, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)positions)));
    }
}
