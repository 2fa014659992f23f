using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
public sealed class WeightLoaderTests
{
    private string _folder = "";
    private CpuDevice _device = null!;
    private Arena _arena = null!;

    [SetUp]
    public void Make()
    {
        _folder = Directory.CreateTempSubdirectory("graft-").FullName;
        _device = new CpuDevice(1);
        _arena = new Arena(_device, "weights", 4096);
    }

    [TearDown]
    public void Remove()
    {
        _arena.Dispose();
        _device.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private SafeTensorsFile Save(params TensorSource[] tensors)
    {
        string path = Path.Combine(_folder, "a.safetensors");
        SafeTensorsWriter.Write(path, tensors);
        return SafeTensorsFile.Open(path);
    }

    private Parameter New(string name, DType type, params int[] shape) => new(name, _arena.Allocate(new Shape(shape), type, MemoryCategory.Weights, name));

    [Test]
    public void Parameters_are_filled_in_their_own_type_and_written_back()
    {
        float[] values = [1, -2.5f, 0.1f, 65504, 3, 4];
        using SafeTensorsFile file = Save(
            TensorSource.Of<float>("a", new Shape(2, 3), values), TensorSource.Of<BFloat16>("b", new Shape(6), values.Select(v => (BFloat16)v).ToArray()), TensorSource.Of<long>("i", new Shape(1), new long[] { 7 }));
        Parameter a = New("a", DType.F16, 2, 3);
        Parameter b = New("b", DType.F32, 6);
        Parameter i = New("i", DType.I64, 1);
        WeightLoader.Load(file, [a, b, i]);
        Assert.That(a.Value.ToArray<Half>(), Is.EqualTo(values.Select(v => (Half)v)));
        Assert.That(b.Value.ToArray<float>(), Is.EqualTo(values.Select(v => (float)(BFloat16)v)));
        Assert.That(i.Value.ToArray<long>(), Is.EqualTo(new[] { 7L }));

        string copy = Path.Combine(_folder, "b.safetensors");
        SafeTensorsWriter.Write(copy, [TensorSource.Of("a", a.Value), TensorSource.Of("b", b.Value), TensorSource.Of("i", i.Value)]);
        using SafeTensorsFile again = SafeTensorsFile.Open(copy);
        Assert.That(again.ReadArray<Half>("a"), Is.EqualTo(a.Value.ToArray<Half>()));
        Assert.That(again.ReadFloats("b"), Is.EqualTo(b.Value.ToArray<float>()));
        Assert.That(again.ReadArray<long>("i"), Is.EqualTo(new[] { 7L }));
    }

    [Test]
    public void All_mismatches_are_reported_together_and_nothing_is_written()
    {
        using SafeTensorsFile file = Save(
            TensorSource.Of<float>("a", new Shape(2), new float[] { 1, 2 }), TensorSource.Of<float>("b", new Shape(2), new float[2]), TensorSource.Of<float>("extra", new Shape(1), new float[1]), TensorSource.Of<float>("buffer", new Shape(1), new float[1]));
        Parameter a = New("a", DType.F32, 2);
        a.Value.Clear();
        Assert.That(
            () => WeightLoader.Load(file, [a, New("b", DType.F32, 3), New("c", DType.F32, 1)], n => n == "buffer"),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("'b' has the shape (2), the model needs (3)").And.Message.Contains("'c' (1) is missing")
                .And.Message.Contains("'extra' (1) is not part").And.Message.Not.Contains("buffer"));
        Assert.That(a.Value.ToArray<float>(), Is.EqualTo(new float[2]));
        Assert.That(() => file.Read("a", New("x", DType.I32, 2).Value), Throws.TypeOf<CheckpointException>().With.Message.Contains("'a' holds F32"));
    }
}
