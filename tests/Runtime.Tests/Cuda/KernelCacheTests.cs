using System.Text;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>The cache of compiled kernels: what it gives back, and that nothing wrong with it ever reaches a card or stops a run.</summary>
public sealed class KernelCacheTests
{
    private static readonly byte[] s_image = Encoding.UTF8.GetBytes("the image of a kernel");

    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("graft-cache-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    private string TheFile => Directory.GetFiles(_folder).Single();

    [Test]
    public void An_image_comes_back_and_no_other_file_is_left()
    {
        KernelCache cache = Filled();
        Assert.That(cache.Read("norm", "sm_90", "key"), Is.EqualTo(s_image));
        Assert.That(Path.GetFileName(TheFile), Is.EqualTo("norm-sm_90-key.cubin"));
        Assert.That(cache.Problem, Is.Null);
    }

    [Test]
    public void Another_family_architecture_or_key_is_not_there()
    {
        KernelCache cache = Filled();
        Assert.That(cache.Read("other", "sm_90", "key"), Is.Null);
        Assert.That(cache.Read("norm", "sm_80", "key"), Is.Null);
        Assert.That(cache.Read("norm", "sm_90", "other"), Is.Null);
        Assert.That(cache.Problem, Is.Null, "what was never kept is no problem");
    }

    [Test]
    public void A_damaged_file_is_not_given_back()
    {
        KernelCache cache = Filled();
        byte[] whole = File.ReadAllBytes(TheFile);
        for (int i = 0; i < whole.Length; i++)
        {
            byte[] damaged = [.. whole];
            damaged[i] ^= 1;
            File.WriteAllBytes(TheFile, damaged);
            Assert.That(cache.Read("norm", "sm_90", "key"), Is.Null, $"byte {i} changed");
        }

        for (int length = 0; length < whole.Length; length++)
        {
            File.WriteAllBytes(TheFile, whole[..length]);
            Assert.That(cache.Read("norm", "sm_90", "key"), Is.Null, $"cut off after {length} bytes");
        }
    }

    [Test]
    public void A_file_under_another_key_is_not_given_back()
    {
        KernelCache cache = Filled();
        File.Move(TheFile, Path.Combine(_folder, "norm-sm_90-other.cubin"));
        Assert.That(cache.Read("norm", "sm_90", "other"), Is.Null);
    }

    [Test]
    public void A_folder_that_cannot_be_written_is_a_problem_that_is_told_and_no_error()
    {
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "");
        KernelCache cache = new(Path.Combine(file, "below")); // also for root, whom no permission stops
        Assert.That(() => cache.Write("norm", "sm_90", "key", s_image), Throws.Nothing);
        Assert.That(cache.Problem, Does.Contain(file).And.Contain("GRAFT_CACHE"));
        Assert.That(cache.Read("norm", "sm_90", "key"), Is.Null);
    }

    [Test]
    public void Without_a_home_nothing_is_kept_and_the_reason_told()
    {
        KernelCache cache = new(null);
        cache.Write("norm", "sm_90", "key", s_image);
        Assert.That(cache.Read("norm", "sm_90", "key"), Is.Null);
        Assert.That(cache.Problem, Does.Contain("GRAFT_CACHE"));
    }

    [Test]
    public void Two_writers_leave_a_whole_file()
    {
        _ = Parallel.For(0, 16, i => new KernelCache(_folder).Write("norm", "sm_90", "key", s_image));
        Assert.That(new KernelCache(_folder).Read("norm", "sm_90", "key"), Is.EqualTo(s_image));
        Assert.That(Directory.GetFiles(_folder), Has.Length.EqualTo(1));
    }

    [Test]
    public void A_key_tells_its_parts_apart()
        => Assert.That(
            new[] { KernelCache.Key(["ab", "c"]), KernelCache.Key(["a", "bc"]), KernelCache.Key(["abc"]), KernelCache.Key(["abc", ""]), KernelCache.Key(["c", "ab"]) },
            Is.Unique);

    [Test]
    public void Only_the_user_may_write_into_the_folder()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Ignore("Windows keeps a user's folders by other means");
            return;
        }

        string below = Path.Combine(_folder, "kernels");
        new KernelCache(below).Write("norm", "sm_90", "key", s_image);
        Assert.That(File.GetUnixFileMode(below), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute));
    }

    private KernelCache Filled()
    {
        KernelCache cache = new(_folder);
        cache.Write("norm", "sm_90", "key", s_image);
        return cache;
    }
}
