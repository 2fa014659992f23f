using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
public sealed class AtomicFileTests
{
    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("graft-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [Test]
    public void A_committed_file_replaces_the_old_one_and_leaves_nothing_else()
    {
        string path = Path.Combine(_folder, "below", "a.txt");
        AtomicFile.WriteText(path, "one");
        AtomicFile.WriteText(path, "zwei ä");
        Assert.That(File.ReadAllText(path), Is.EqualTo("zwei ä"));
        Assert.That(Directory.GetFileSystemEntries(Path.GetDirectoryName(path)!), Has.Length.EqualTo(1));
    }

    [TestCase(0)]
    [TestCase(5)]
    public void A_full_disk_leaves_the_old_file_and_nothing_else(int room)
    {
        string path = Path.Combine(_folder, "a.bin");
        AtomicFile.WriteText(path, "old");
        Assert.That(
            () => AtomicFile.Write(path, s => s.Write(new byte[1000]), s => new FullDisk(s, room)),
            Throws.TypeOf<CheckpointException>().With.Message.Contains(path).And.Message.Contains("No space left"));
        Assert.That(Directory.GetFileSystemEntries(_folder), Is.EqualTo(new[] { path }));
        Assert.That(File.ReadAllText(path), Is.EqualTo("old"));
    }

    [Test]
    public void A_device_that_is_really_full_leaves_nothing()
    {
        if (!File.Exists("/dev/full"))
        {
            Assert.Ignore("this system has no /dev/full");
        }

        string path = Path.Combine(_folder, "a.bin");
        using FileStream full = new("/dev/full", FileMode.Open, FileAccess.Write);
        Assert.That(() => AtomicFile.Write(path, s => s.Write(new byte[100_000]), _ => full), Throws.TypeOf<CheckpointException>());
        Assert.That(Directory.GetFileSystemEntries(_folder), Is.Empty);
    }

    [Test]
    public void A_callback_that_throws_leaves_nothing()
    {
        string path = Path.Combine(_folder, "a.bin");
        Assert.That(() => AtomicFile.Write(path, _ => throw new InvalidOperationException("mine")), Throws.TypeOf<InvalidOperationException>());
        Assert.That(Directory.GetFileSystemEntries(_folder), Is.Empty);
    }

    [Test]
    public void Leftovers_of_killed_processes_can_be_removed()
    {
        string path = Path.Combine(_folder, "a.bin");
        using (AtomicFile file = AtomicFile.Create(path))
        {
            file.Stream.WriteByte(1);
            Assert.That(Directory.GetFiles(_folder), Has.Length.EqualTo(1));
            File.WriteAllText(Path.Combine(_folder, ".a.bin.1-2-3.tmp"), "left");
        }

        AtomicFile.WriteText(Path.Combine(_folder, "b"), "");
        AtomicFile.RemoveLeftovers(path);
        Assert.That(Directory.GetFiles(_folder).Select(Path.GetFileName), Is.EqualTo(new[] { "b" }));
    }

    [Test]
    public void A_folder_appears_whole_replaces_the_old_one_and_a_given_up_one_vanishes()
    {
        string path = Path.Combine(_folder, "run");
        using (AtomicDirectory first = AtomicDirectory.Create(path))
        {
            File.WriteAllText(Path.Combine(first.Temporary, "a"), "1");
            Assert.That(Directory.Exists(path), Is.False);
            first.Commit();
        }

        using (AtomicDirectory second = AtomicDirectory.Create(path + "/"))
        {
            _ = Directory.CreateDirectory(Path.Combine(second.Temporary, "below"));
            File.WriteAllText(Path.Combine(second.Temporary, "below", "b"), "2");
            second.Commit();
        }

        using (AtomicDirectory third = AtomicDirectory.Create(path))
        {
            File.WriteAllText(Path.Combine(third.Temporary, "c"), "3");
        }

        Assert.That(Directory.GetFileSystemEntries(_folder), Is.EqualTo(new[] { path }));
        Assert.That(Directory.GetFileSystemEntries(path), Is.EqualTo(new[] { Path.Combine(path, "below") }));
        _ = Directory.CreateDirectory(Path.Combine(_folder, ".run.1-2-3.tmp", "x"));
        AtomicDirectory.RemoveLeftovers(path);
        Assert.That(Directory.GetFileSystemEntries(_folder), Is.EqualTo(new[] { path }));
    }
}
