using CsCheck;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
public sealed class SafeTensorsWriterTests
{
    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("graft-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    private static TensorSource Floats(string name, params float[] values) => TensorSource.Of<float>(name, new Shape(values.Length), values);

    [Test]
    public void What_was_written_is_read_back_to_the_bit_and_in_the_same_order_whatever_the_input_order()
    {
        Gen<DType> type = Gen.Enum<DType>();
        Gen<TensorSource> tensor = Gen.Select(type, Gen.Int[0, 3].Array[0, 6], Gen.String[Gen.Char.AlphaNumeric, 1, 8], Gen.Byte.Array[729 * 8]).Select(
            (t, axes, name, bytes) => TensorSource.OfBytes(name, t, new Shape(axes), bytes.AsMemory(0, (int)new Shape(axes).Count * t.Size())));
        string path = Path.Combine(_folder, "a.safetensors");
        tensor.Array[0, 6].Sample(
            tensors =>
            {
                TensorSource[] distinct = [.. tensors.DistinctBy(t => t.Name)];
                SafeTensorsWriter.Write(path, distinct);
                byte[] first = File.ReadAllBytes(path);
                using (SafeTensorsFile file = SafeTensorsFile.Open(path))
                {
                    Assert.That(file.Metadata["format"], Is.EqualTo("pt"));
                    Assert.That(file.Tensors, Has.Count.EqualTo(distinct.Length));
                    foreach (TensorSource source in distinct)
                    {
                        using MemoryStream expected = new();
                        source.Write(expected);
                        TensorEntry entry = file.Tensors[source.Name];
                        Assert.That((entry.Type, entry.Shape), Is.EqualTo((source.Type, source.Shape)));
                        Assert.That(entry.Offset % source.Type.Size(), Is.Zero, "aligned");
                        Assert.That(file.Bytes(source.Name).SequenceEqual(expected.ToArray()), source.Name);
                    }

                    string copy = Path.Combine(_folder, "b.safetensors");
                    SafeTensorsWriter.Write(copy, [.. distinct.Reverse().Select(t => TensorSource.From(file, t.Name))]);
                    Assert.That(File.ReadAllBytes(copy).AsSpan().SequenceEqual(first));
                }
            },
            iter: 60,
            threads: 1);
    }

    [Test]
    public void A_callback_of_the_wrong_length_or_a_name_given_twice_leaves_nothing()
    {
        string path = Path.Combine(_folder, "a.safetensors");
        TensorSource few = TensorSource.OfBytes("few", DType.F32, new Shape(2), new byte[4]);
        TensorSource more = TensorSource.OfBytes("more", DType.F32, new Shape(2), new byte[12]);
        Assert.That(() => SafeTensorsWriter.Write(path, [few]), Throws.TypeOf<CheckpointException>().With.Message.Contains("'few'"));
        Assert.That(() => SafeTensorsWriter.Write(path, [more]), Throws.TypeOf<CheckpointException>().With.Message.Contains("'more'"));
        Assert.That(() => SafeTensorsWriter.Write(path, [Floats("a"), Floats("a")]), Throws.TypeOf<CheckpointException>().With.Message.Contains("'a'"));
        Assert.That(Directory.GetFileSystemEntries(_folder), Is.Empty);
    }

    [Test]
    public void A_full_disk_at_any_point_leaves_nothing_or_the_old_model()
    {
        TensorSource[] tensors = [Floats("a", new float[100]), Floats("b", new float[100]), Floats("c", new float[100])];
        string path = Path.Combine(_folder, "a.safetensors");
        string model = Path.Combine(_folder, "model");
        for (int room = 0; room < 1300; room += 100)
        {
            Assert.That(() => SafeTensorsWriter.Write(path, tensors, null, s => new FullDisk(s, room)), Throws.TypeOf<CheckpointException>());
        }

        _ = SafeTensorsWriter.WriteSharded(model, [Floats("old", 1)]);
        int opened = 0;
        Assert.That(
            () => SafeTensorsWriter.WriteSharded(model, tensors, 500, null, s => ++opened == 3 ? new FullDisk(s, 50) : s),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("No space"));
        Assert.That(Directory.GetFileSystemEntries(_folder), Is.EqualTo(new[] { model }));
        Assert.That(Directory.GetFileSystemEntries(model), Is.EqualTo(new[] { Path.Combine(model, "model.safetensors") }));
    }

    [Test]
    public void Shards_hold_at_most_the_limit_and_are_read_as_one()
    {
        TensorSource[] tensors = [Floats("a", 1, 2, 3), Floats("b", 4), Floats("c", 5, 6, 7, 8, 9), Floats("d", 10)];
        IReadOnlyList<string> files = SafeTensorsWriter.WriteSharded(_folder, tensors, 16);
        Assert.That(files, Is.EqualTo(new[] { "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", "model.safetensors.index.json" }));
        using (ICheckpoint checkpoint = CheckpointReader.Open(_folder))
        {
            Assert.That(checkpoint.Tensors.Keys.Order(), Is.EqualTo(new[] { "a", "b", "c", "d" }));
            Assert.That(checkpoint.ReadFloats("c"), Is.EqualTo(new float[] { 5, 6, 7, 8, 9 }));
            Assert.That(checkpoint.ReadFloats("b"), Is.EqualTo(new float[] { 4 }));
        }

        Assert.That(SafeTensorsWriter.WriteSharded(_folder, tensors), Is.EqualTo(new[] { "model.safetensors" }));
        Assert.That(Directory.GetFileSystemEntries(_folder), Has.Length.EqualTo(1), "shards and index of the earlier save are gone");
    }

    [Test]
    public void An_index_and_shards_that_disagree_are_refused_with_every_difference()
    {
        TensorSource[] tensors = [Floats("a", 1), Floats("b", 2), Floats("c", 3)];
        _ = SafeTensorsWriter.WriteSharded(_folder, tensors, 4);
        string index = Path.Combine(_folder, SafeTensorsWriter.IndexName);
        string text = File.ReadAllText(index);
        SafeTensorsWriter.Write(Path.Combine(_folder, "model-00002-of-00003.safetensors"), [Floats("a", 1), Floats("x", 2)]);
        Assert.That(
            () => CheckpointReader.Open(_folder),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("'a' is in model-00002").And.Message.Contains("'x'").And.Message.Contains("'b' is not in"));
        foreach (string bad in new[] { "[]", "{}", "{\"weight_map\":{\"a\":1}}", "{\"weight_map\":{\"a\":\"../x\"}}", text.Replace("00003-of", "00009-of", StringComparison.Ordinal), "{\"weight_map\":{\"\\ud800\":\"a\"}}", "" })
        {
            File.WriteAllText(index, bad);
            Assert.That(() => CheckpointReader.Open(_folder), Throws.TypeOf<CheckpointException>(), bad);
        }
    }
}
