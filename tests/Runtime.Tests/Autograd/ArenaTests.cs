using CsCheck;

namespace Graft.Runtime.Tests.Autograd;

public sealed class ArenaTests
{
    [Test]
    public void Blocks_never_overlap_and_all_come_back()
    {
        Gen.Int[0, 2_000].List[1, 200].Sample(sizes =>
        {
            using CpuDevice device = new(1);
            using Arena arena = new(device, "a", 4096);
            List<(Tensor Tensor, int Mark)> held = [];
            int mark = 0;
            foreach (int size in sizes)
            {
                if (size % 3 == 0 && held.Count > 0)
                {
                    int at = size % held.Count;
                    if (held[at].Tensor.AsSpan<int>().IndexOfAnyExcept(held[at].Mark) >= 0)
                    {
                        return false;
                    }

                    arena.Free(held[at].Tensor);
                    held.RemoveAt(at);
                }
                else
                {
                    Tensor tensor = arena.Allocate(new Shape(size), DType.I32, MemoryCategory.Workspace);
                    tensor.AsSpan<int>().Fill(++mark);
                    held.Add((tensor, mark));
                }
            }

            bool intact = held.TrueForAll(h => h.Tensor.AsSpan<int>().IndexOfAnyExcept(h.Mark) < 0);
            held.ForEach(h => arena.Free(h.Tensor));
            return intact && arena.Report().Current.Total == 0;
        });
    }

    [Test]
    public void Freed_neighbours_grow_together()
    {
        using CpuDevice device = new(1);
        using Arena arena = new(device, "a", 64 * 30);
        Tensor[] parts = new Tensor[30];
        for (int i = 0; i < parts.Length; i++)
        {
            parts[i] = arena.Allocate(new Shape(64), DType.U8, MemoryCategory.Workspace);
        }

        foreach (int i in Enumerable.Range(0, 30).OrderBy(i => i * 7 % 30))
        {
            arena.Free(parts[i]);
        }

        _ = arena.Allocate(new Shape(64 * 30), DType.U8, MemoryCategory.Workspace);
        Assert.That(arena.Report().SlabAllocations, Is.EqualTo(1));
    }

    [Test]
    public void Use_after_the_scope_is_an_exception_that_names_tensor_and_scope()
    {
        using CpuDevice device = new(1);
        Arena arena = new(device, "a");
        Tensor gone;
        Tensor kept;
        using (Scope outer = arena.Enter("outer"))
        {
            using (Scope inner = arena.Enter("inner"))
            {
                gone = arena.Zeros(new Shape(2, 3), DType.F32, MemoryCategory.Activations, "gone");
                kept = inner.Keep(arena.Zeros(new Shape(5), DType.F32, MemoryCategory.Activations, "kept"));
            }

            Assert.That(() => gone.AsSpan<float>(), Throws.TypeOf<ObjectDisposedException>().With.Message.Contains("gone (2, 3) f32").And.Message.Contains("inner"));
            Assert.That(kept.AsSpan<float>().Length, Is.EqualTo(5));
        }

        Assert.That(kept.IsAlive, Is.False);
        Tensor persistent = arena.Zeros(new Shape(1), DType.F32, MemoryCategory.Weights, "persistent");
        arena.Dispose();
        Assert.That(() => persistent.AsSpan<float>(), Throws.TypeOf<ObjectDisposedException>().With.Message.Contains("disposed"));
    }

    [Test]
    public void Scopes_must_be_left_in_order_and_memory_is_freed_once()
    {
        using CpuDevice device = new(1);
        using Arena arena = new(device, "a");
        Tensor tensor = arena.Zeros(new Shape(4), DType.F32, MemoryCategory.Weights);
        arena.Free(tensor);
        Assert.That(() => arena.Free(tensor), Throws.ArgumentException);
        Scope outer = arena.Enter("outer");
        Scope inner = arena.Enter("inner");
        bool refused = false;
        try
        {
            outer.Dispose();
        }
        catch (InvalidOperationException)
        {
            refused = true;
        }

        inner.Dispose();
        outer.Dispose();
        Assert.That(refused);
    }

    [Test]
    public void The_report_counts_by_category_and_remembers_the_peak()
    {
        using CpuDevice device = new(1);
        using Arena arena = new(device, "a");
        _ = arena.Zeros(new Shape(16), DType.F32, MemoryCategory.Weights);
        using (Scope scope = arena.Enter("s"))
        {
            _ = arena.Zeros(new Shape(17), DType.F32, MemoryCategory.Activations);
        }

        ArenaReport report = arena.Report();
        Assert.That(report.Current[MemoryCategory.Weights], Is.EqualTo(64));
        Assert.That(report.Current.Total, Is.EqualTo(64));
        Assert.That(report.Peak[MemoryCategory.Activations], Is.EqualTo(128));
        Assert.That(report.Peak.Total, Is.EqualTo(192));
    }

    [Test]
    public void Wrong_types_and_sizes_are_refused()
    {
        using CpuDevice device = new(1);
        using Arena arena = new(device, "a");
        Tensor tensor = arena.Zeros(new Shape(4), DType.F32, MemoryCategory.Weights, "w");
        Assert.That(() => tensor.AsSpan<int>(), Throws.TypeOf<DTypeException>().With.Message.Contains("w (4) f32"));
        Assert.That(() => tensor.CopyFrom<float>([1, 2]), Throws.TypeOf<ShapeException>());
        Assert.That(() => tensor.ReadScalar(), Throws.TypeOf<ShapeException>());
        Assert.That(() => new Shape(1, 2, 3, 4, 5, 6, 7), Throws.TypeOf<ShapeException>());
    }
}
