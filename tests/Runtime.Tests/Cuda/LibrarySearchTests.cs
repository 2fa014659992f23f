using Graft.Runtime.Interop;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>Where native libraries are looked for, and what is told when they are not there.</summary>
public sealed class LibrarySearchTests
{
    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("graft-libraries-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [TestCase(CudaLibrary.Driver)]
    [TestCase(CudaLibrary.Nvrtc)]
    [TestCase(CudaLibrary.CuBlasLt)]
    [TestCase(CudaLibrary.Nccl)]
    public void A_named_folder_that_has_the_library_decides(int library)
    {
        string name = LibrarySearch.Names((CudaLibrary)library)[^1];
        string path = Path.Combine(_folder, name);
        File.WriteAllText(path, "no library");
        LibraryState state = LibrarySearch.Find((CudaLibrary)library, _folder);
        Assert.That(state.IsLoaded, Is.False, "a broken file in a folder that was asked for must not be replaced by another in silence");
        Assert.That(state.Tried, Is.EqualTo(LibrarySearch.Names((CudaLibrary)library).Select(n => Path.Combine(_folder, n))));
        Assert.That(state.Problem, Does.Contain(path));
        Assert.That(CudaLibraries.Missing(state).Message, Does.Contain(path).And.Contain("GRAFT_CUDA_PATH"));
    }

    [Test]
    public void The_newest_version_in_a_folder_is_taken()
    {
        foreach (string name in LibrarySearch.Names(CudaLibrary.CuBlasLt))
        {
            File.WriteAllText(Path.Combine(_folder, name), "no library");
        }

        Assert.That(LibrarySearch.Find(CudaLibrary.CuBlasLt, _folder).Tried, Is.EqualTo(new[] { Path.Combine(_folder, LibrarySearch.Names(CudaLibrary.CuBlasLt)[0]) }));
    }

    [Test]
    public void Several_folders_are_looked_into_in_their_order()
    {
        string second = Directory.CreateDirectory(Path.Combine(_folder, "second")).FullName;
        File.WriteAllText(Path.Combine(second, LibrarySearch.Names(CudaLibrary.Nccl)[0]), "no library");
        LibraryState state = LibrarySearch.Find(CudaLibrary.Nccl, _folder + Path.PathSeparator + second);
        Assert.That(state.Tried.Select(Path.GetDirectoryName).Distinct(), Is.EqualTo(new[] { _folder, second }));
    }

    [Test]
    public void A_folder_without_the_library_is_told_and_the_system_asked_next()
    {
        string[] names = LibrarySearch.Names(CudaLibrary.Nvrtc);
        LibraryState state = LibrarySearch.Find(CudaLibrary.Nvrtc, _folder);
        Assert.That(state.Tried.Take(names.Length), Is.EqualTo(names.Select(n => Path.Combine(_folder, n))));
        Assert.That(state.Tried[names.Length], Is.EqualTo(names[0]), "then the bare name");
        if (!state.IsLoaded)
        {
            Assert.That(state.Tried.Skip(names.Length).Take(names.Length), Is.EqualTo(names));
            Assert.That(state.Tried.Skip(2 * names.Length), Has.All.Matches<string>(Path.IsPathRooted));
        }
    }

    [Test]
    [Category("Nvrtc")]
    public void Nvrtc_of_a_folder_finds_its_builtins()
    {
        string folder = Path.GetDirectoryName(RealNvrtc.Require().Path)!;
        LibraryState state = LibrarySearch.Find(CudaLibrary.Nvrtc, folder);
        Assert.That(state.Path, Does.StartWith(folder));
        NvrtcLibrary library = NvrtcLibrary.Load(state.Path!);
        Assert.That(library.Architectures, Does.Contain(80).And.Contain(90));

        // Without the builtins NVRTC fails here, not when it is loaded.
        Assert.That(library.Compile("extern \"C\" __global__ void k(float* x) { x[threadIdx.x] = __sinf(1.0f); }", "k.cu", [], ["--gpu-architecture=sm_90"]).Image, Is.Not.Null);
    }

    [Test]
    public void A_missing_library_says_what_to_install()
    {
        foreach (CudaLibrary library in Enum.GetValues<CudaLibrary>())
        {
            string text = CudaLibraries.Missing(new(library, 0, null, ["a.so", "b.so", "/one/a.so", "/one/b.so", "/two/a.so", "/two/b.so"])).Message;
            Assert.That(text, Does.Contain("looked for a.so, b.so in the system's search, /one, /two.").And.Contain("nstall "));
        }
    }

    [TestCase(11080, "11.8")]
    [TestCase(11999, "11.99")]
    public void An_old_driver_is_told_with_both_versions(int driver, string version)
        => Assert.That(CudaLibraries.TooOld(driver), Does.Contain($"CUDA {version}").And.Contain("12.0 or newer").And.Contain("525"));

    [TestCase(12000)]
    [TestCase(13000)]
    public void A_newer_driver_is_enough(int driver) => Assert.That(CudaLibraries.TooOld(driver), Is.Null);

    [Test]
    public void A_file_that_is_no_nvrtc_says_so()
    {
        string path = Path.Combine(_folder, "libnvrtc.so.12");
        File.WriteAllText(path, "no library");
        Assert.That(() => NvrtcLibrary.Load(path), Throws.TypeOf<CudaUnavailableException>().With.Message.Contains(path));
    }
}
