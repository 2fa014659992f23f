using Graft.Models.Layers;
using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training;

/// <summary>A batch's integers in device memory that outlives the step: a recorded step reads them, and each batch of the same form is written into them.</summary>
public sealed class BatchInputs
{
    private readonly bool _isPlain;

    /// <summary>Memory for batches of the form of this one.</summary>
    /// <param name="arena">A persistent arena.</param>
    /// <param name="batch">Gives rows, length, and whether documents share rows.</param>
    public BatchInputs(Arena arena, Batch batch)
    {
        ArgumentNullException.ThrowIfNull(arena);
        ArgumentNullException.ThrowIfNull(batch);
        Shape shape = new(batch.Rows, batch.Length);
        Ids = arena.Allocate(shape, DType.I32, MemoryCategory.Workspace, "batch.ids");
        Targets = arena.Allocate(shape, DType.I32, MemoryCategory.Workspace, "batch.targets");
        Positions = arena.Allocate(shape, DType.I32, MemoryCategory.Workspace, "batch.positions");
        _isPlain = LanguageModelObjective.LayoutOf(batch).IsPlain;
        Ranges = _isPlain ? null : arena.Allocate(new Shape(batch.Rows, batch.Length, 2), DType.I32, MemoryCategory.Workspace, "batch.ranges");
    }

    /// <summary>Token ids (B, T).</summary>
    public Tensor Ids { get; }

    /// <summary>The token to predict at each position (B, T), or <see cref="Batch.IgnoredTarget"/>.</summary>
    public Tensor Targets { get; }

    /// <summary>The position within the document (B, T).</summary>
    public Tensor Positions { get; }

    /// <summary>The keys that each token sees (B, T, 2); null where causality alone says it.</summary>
    public Tensor? Ranges { get; }

    /// <summary>True where the batch has this form.</summary>
    public bool Fits(Batch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        return Ids.Shape == new Shape(batch.Rows, batch.Length) && LanguageModelObjective.LayoutOf(batch).IsPlain == _isPlain;
    }

    /// <summary>Writes a batch.</summary>
    /// <exception cref="ShapeException">It has another form.</exception>
    public void Write(Batch batch)
    {
        if (!Fits(batch))
        {
            throw new ShapeException($"A batch of {batch.Rows} x {batch.Length} does not have the form of the recorded one, {Ids.Shape}{(_isPlain ? "" : " packed")}.");
        }

        TokenLayout layout = LanguageModelObjective.LayoutOf(batch);
        Ids.CopyFrom<int>(batch.Ids);
        Targets.CopyFrom<int>(batch.Targets);
        int[] values = new int[2 * batch.Ids.Length];
        layout.FillPositions(values.AsSpan(0, batch.Ids.Length));
        Positions.CopyFrom<int>(values.AsSpan(0, batch.Ids.Length));
        if (Ranges is not null)
        {
            layout.FillRanges(values);
            Ranges.CopyFrom<int>(values);
        }
    }
}
