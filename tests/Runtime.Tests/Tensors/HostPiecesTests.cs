namespace Graft.Runtime.Tests.Tensors;

/// <summary>What the host does with elements, on devices that it reaches and others.</summary>
/// <remarks>One suite, one class per device.</remarks>
public abstract class HostPiecesTests
{
    // Two pieces and a part on devices that the host does not reach.
    private const int Count = (2 << 20) + 13;

    private Device _device = null!;
    private Arena _arena = null!;

    protected abstract Device Open();

    [OneTimeSetUp]
    public void Begin()
    {
        _device = Open();
        _arena = new Arena(_device, "pieces");
    }

    [OneTimeTearDown]
    public void End()
    {
        _arena?.Dispose();
        _device?.Dispose();
    }

    [Test]
    public void All_elements_are_written_changed_and_read_once_and_in_order()
    {
        using Scope scope = _arena.Enter("test");
        Tensor x = _arena.Allocate(new Shape(Count), DType.F32, MemoryCategory.Weights);
        x.WriteOnHost<float>((values, start) => Fill(values, start, 1));
        x.ChangeOnHost<float>((values, start) =>
        {
            for (int i = 0; i < values.Length; i++)
            {
                Assert.That(values[i] == start + i + 1, "the values before");
                values[i] *= 2;
            }
        });
        long next = 0;
        x.ReadOnHost<float>((values, start) =>
        {
            Assert.That(start, Is.EqualTo(next));
            next += values.Length;
            for (int i = 0; i < values.Length; i++)
            {
                Assert.That(values[i] == 2 * (start + i + 1), "the values after");
            }
        });
        Assert.That(next, Is.EqualTo(Count));
        Assert.That(x.OnHost<float>()[^1], Is.EqualTo(2f * Count));
    }

    [TestCase(DType.F32)]
    [TestCase(DType.BF16)]
    [TestCase(DType.I64)]
    [TestCase(DType.Bool)]
    public void Bytes_go_both_ways_whatever_the_type(DType type)
    {
        using Scope scope = _arena.Enter("test");
        Tensor x = _arena.Allocate(new Shape(3, 1001), type, MemoryCategory.Weights);
        x.WriteBytesOnHost((bytes, start) =>
        {
            for (int i = 0; i < bytes.Length; i++)
            {
                bytes[i] = (byte)((start + i) % 2);
            }
        });
        using MemoryStream stream = new();
        x.ReadBytesOnHost((bytes, _) => stream.Write(bytes));
        Assert.That(stream.ToArray(), Is.EqualTo(Enumerable.Range(0, (int)x.Spec.Bytes).Select(i => (byte)(i % 2))));
    }

    [Test]
    public void Another_type_is_refused_and_no_elements_are_no_call()
    {
        using Scope scope = _arena.Enter("test");
        Tensor none = _arena.Allocate(new Shape(0, 4), DType.F32, MemoryCategory.Weights);
        Assert.That(() => none.ReadOnHost<int>((_, _) => { }), Throws.TypeOf<DTypeException>());
        none.WriteOnHost<float>((_, _) => Assert.Fail("there is nothing to write"));
        Assert.That(none.OnHost<float>().Length, Is.Zero);
    }

    [TestCase(DType.BF16)]
    [TestCase(DType.F16)]
    public void Casts_round_to_nearest_and_ties_to_even(DType type)
    {
        using Scope scope = _arena.Enter("test");
        float[] values = new float[1001];
        new Rng(1).Stream("x").FillNormal(0, values);
        (values[0], values[1]) = (1 + (1 / 256f), 1 + (3 / 256f)); // halfway between neighbours of BF16
        Tensor wide = _arena.Create<float>(new Shape(1001), values, MemoryCategory.Weights);
        Tensor low = _arena.Allocate(new Shape(7, 143), type, MemoryCategory.Weights);
        low.CastFrom(wide);
        float[] expected = Array.ConvertAll(values, v => type == DType.BF16 ? (float)(BFloat16)v : (float)(Half)v);
        Tensor back = _arena.Allocate(new Shape(1001), DType.F32, MemoryCategory.Weights);
        back.CastFrom(low);
        Assert.That(back.ToArray<float>(), Is.EqualTo(expected));
        Assert.That(() => low.CastFrom(_arena.Allocate(new Shape(3), DType.F32, MemoryCategory.Weights)), Throws.TypeOf<ShapeException>());
        Assert.That(() => low.CastFrom(_arena.Allocate(new Shape(1001), DType.I32, MemoryCategory.Weights)), Throws.TypeOf<DTypeException>());
    }

    private static void Fill(Span<float> values, long start, int offset)
    {
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = start + i + offset;
        }
    }
}

/// <summary>On the CPU, in place.</summary>
public sealed class HostPiecesCpuTests : HostPiecesTests
{
    protected override Device Open() => new CpuDevice(2);

    [Test]
    public void Nothing_happens_on_meta()
    {
        using MetaDevice device = new();
        using Arena arena = new(device, "meta");
        Tensor x = arena.Allocate(new Shape(3), DType.F32, MemoryCategory.Weights);
        x.WriteOnHost<float>((_, _) => Assert.Fail("meta holds no elements"));
        x.ReadBytesOnHost((_, _) => Assert.Fail("meta holds no elements"));
        x.CastFrom(arena.Allocate(new Shape(3), DType.BF16, MemoryCategory.Weights));
        Assert.That(() => x.OnHost<float>(), Throws.InstanceOf<GraftException>());
    }
}

/// <summary>On CUDA, by copies.</summary>
[Category("CudaEmulator")]
public sealed class HostPiecesCudaTests : HostPiecesTests
{
    protected override Device Open() => CudaTestDevice.Open();

    [Test]
    public void Threads_may_write_tensors_at_once()
    {
        using CudaDevice device = CudaTestDevice.Open();
        using Arena arena = new(device, "threads");
        Tensor[] tensors = [.. Enumerable.Range(0, 8).Select(_ => arena.Allocate(new Shape(70_001), DType.F32, MemoryCategory.Weights))];
        _ = Parallel.For(0, tensors.Length, i => tensors[i].WriteOnHost<float>((values, _) => values.Fill(i)));
        for (int i = 0; i < tensors.Length; i++)
        {
            Assert.That(tensors[i].ToArray<float>(), Is.All.EqualTo((float)i));
        }
    }
}
