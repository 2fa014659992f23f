using Graft.Models.Checkpoints;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
[Category("Fixtures")]
public sealed class CheckpointFixtureTests
{
    private static IEnumerable<string> SafeTensorsFiles()
    {
        return Directory.Exists(FixtureFolder.Root)
            ? Directory.EnumerateFiles(FixtureFolder.Root, "*.safetensors", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(FixtureFolder.Root, f)).Order(StringComparer.Ordinal)
            : [];
    }

    [Test]
    public void Every_recorded_safetensors_file_is_valid_and_its_copy_has_the_same_tensors()
    {
        string folder = Directory.CreateTempSubdirectory("graft-").FullName;
        int files = 0;
        try
        {
            foreach (string relative in SafeTensorsFiles())
            {
                using SafeTensorsFile file = SafeTensorsFile.Open(FixtureFolder.PathOf(relative));
                string copy = Path.Combine(folder, "copy.safetensors");
                if (files++ % 8 != 0)
                {
                    continue; // copying all would take most of the suite's time
                }

                string[] copied = [.. file.Tensors.Values.Where(t => t.Type is not null).Select(t => t.Name)];
                SafeTensorsWriter.Write(copy, [.. copied.Select(n => TensorSource.From(file, n))], file.Metadata);
                using SafeTensorsFile again = SafeTensorsFile.Open(copy);
                Assert.That(again.Metadata, Is.EqualTo(file.Metadata), relative);
                foreach (string name in copied)
                {
                    Assert.That(again.Bytes(name).SequenceEqual(file.Bytes(name)), $"{relative} {name}");
                }
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        Assert.That(files, Is.GreaterThan(0));
    }

    private static IEnumerable<string> ShardedCases() => FixtureFolder.Cases("architectures").Where(c => File.Exists(FixtureFolder.PathOf("architectures", c, SafeTensorsWriter.IndexName)));

    [TestCaseSource(nameof(ShardedCases))]
    public void A_recorded_sharded_model_is_read_and_its_shards_can_be_written_again(string name)
    {
        string folder = Directory.CreateTempSubdirectory("graft-").FullName;
        try
        {
            using ICheckpoint checkpoint = CheckpointReader.Open(FixtureFolder.PathOf("architectures", name));
            long total = checkpoint.Tensors.Values.Sum(t => t.ByteCount);
            IReadOnlyList<string> files = SafeTensorsWriter.WriteSharded(folder, [.. checkpoint.Tensors.Keys.Select(n => TensorSource.From(checkpoint, n))], Math.Max(1, total / 3));
            Assert.That(files, Has.Count.GreaterThan(2));
            using ICheckpoint again = CheckpointReader.Open(folder);
            Assert.That(again.Tensors.Keys.Order(), Is.EqualTo(checkpoint.Tensors.Keys.Order()));
            foreach (string tensor in checkpoint.Tensors.Keys)
            {
                Assert.That(again.ReadFloats(tensor), Is.EqualTo(checkpoint.ReadFloats(tensor)), tensor);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
