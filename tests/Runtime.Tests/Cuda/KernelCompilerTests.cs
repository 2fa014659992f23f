using Graft.Runtime.Interop;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>Compiling with real NVRTC and the cache before it.</summary>
[Category("Nvrtc")]
public sealed class KernelCompilerTests
{
    private const string Text = "// tiny.cu: a kernel of a test\n#include \"common.cuh\"\nGRAFT_KERNEL tiny(float* x)\n{\n    x[threadIdx.x] = 1.0f;\n}\n";

    private string _folder = "";
    private KernelCompiler _compiler = null!;

    [SetUp]
    public void Make()
    {
        _folder = Directory.CreateTempSubdirectory("graft-compiler-").FullName;
        _compiler = new(RealNvrtc.Require(), new KernelCache(_folder));
    }

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [Test]
    public void The_second_time_the_image_comes_from_the_cache()
    {
        byte[] first = _compiler.Compile(KernelSource.Of("tiny", Text), "sm_90");
        Assert.That(first.AsSpan(0, 4).ToArray(), Is.EqualTo("\u007fELF"u8.ToArray()));
        Assert.That(_compiler.Compiled, Is.EqualTo(1));

        KernelCompiler other = new(RealNvrtc.Require(), new KernelCache(_folder));
        Assert.That(other.Compile(KernelSource.Of("tiny", Text), "sm_90"), Is.EqualTo(first));
        Assert.That(other.Compiled, Is.Zero);
    }

    [Test]
    public void A_damaged_image_is_compiled_anew_and_kept()
    {
        byte[] first = _compiler.Compile(KernelSource.Of("tiny", Text), "sm_90");
        string file = Directory.GetFiles(_folder).Single();
        using (FileStream stream = File.OpenWrite(file))
        {
            stream.SetLength(stream.Length / 2);
        }

        Assert.That(_compiler.Compile(KernelSource.Of("tiny", Text), "sm_90"), Is.EqualTo(first));
        Assert.That(_compiler.Compiled, Is.EqualTo(2));
        _ = _compiler.Compile(KernelSource.Of("tiny", Text), "sm_90");
        Assert.That(_compiler.Compiled, Is.EqualTo(2), "the damaged file was replaced");
    }

    [Test]
    public void The_key_changes_with_everything_that_the_image_depends_on()
    {
        KernelSource source = KernelSource.Of("tiny", Text);
        (string name, string header) = source.Headers[0];
        string[] keys =
        [
            _compiler.Key(source, ["--gpu-architecture=sm_90"]),
            _compiler.Key(source, ["--gpu-architecture=sm_80"]),
            _compiler.Key(source, ["--gpu-architecture=sm_90", "-lineinfo"]),
            _compiler.Key(source with { Text = Text + " " }, ["--gpu-architecture=sm_90"]),
            _compiler.Key(source with { Family = "other" }, ["--gpu-architecture=sm_90"]),
            _compiler.Key(source with { Headers = [(name, header + " "), .. source.Headers.Skip(1)] }, ["--gpu-architecture=sm_90"]),
            _compiler.Key(source with { Headers = [.. source.Headers.Skip(1)] }, ["--gpu-architecture=sm_90"]),
        ];
        Assert.That(keys, Is.Unique);
        Assert.That(_compiler.Key(KernelSource.Of("tiny", Text), ["--gpu-architecture=sm_90"]), Is.EqualTo(keys[0]), "the same twice");
    }

    [Test]
    public void Another_build_of_the_compiler_has_other_keys()
    {
        string copy = Path.Combine(_folder, "libnvrtc.so.12");
        File.Copy(RealNvrtc.Require().Path, copy);
        File.SetLastWriteTimeUtc(copy, new DateTime(2001, 1, 1, 0, 0, 0, DateTimeKind.Utc));
        KernelCompiler other = new(NvrtcLibrary.Load(copy), new KernelCache(_folder));
        KernelSource source = KernelSource.Of("tiny", Text);
        Assert.That(other.Key(source, []), Is.Not.EqualTo(_compiler.Key(source, [])));
    }

    [Test]
    public void An_error_names_file_and_line()
    {
        KernelCompileException e = Assert.Throws<KernelCompileException>(() => _compiler.Compile(KernelSource.Of("tiny", Text.Replace("1.0f", "one", StringComparison.Ordinal)), "sm_90"))!;
        Assert.That((e.Family, e.Architecture, e.File, e.Line), Is.EqualTo(("tiny", "sm_90", "tiny.cu", 5)));
        Assert.That(e.Log, Does.Contain("\"one\" is undefined"));
        Assert.That(e.Message, Does.StartWith("tiny.cu(5)").And.Contain(e.Log));
        Assert.That(Directory.GetFiles(_folder), Is.Empty, "nothing is kept of a failure");
    }

    [Test]
    public void An_error_in_a_header_names_the_header()
    {
        KernelSource source = KernelSource.Of("tiny", Text);
        KernelSource broken = source with { Headers = [.. source.Headers.Select(h => h.Name == "common.cuh" ? (h.Name, "int wrong = ;\n" + h.Text) : h)] };
        KernelCompileException e = Assert.Throws<KernelCompileException>(() => _compiler.Compile(broken, "sm_90"))!;
        Assert.That((e.File, e.Line), Is.EqualTo(("common.cuh", 1)));
    }

    [Test]
    public void A_header_that_does_not_exist_is_an_error_with_its_line()
    {
        KernelCompileException e = Assert.Throws<KernelCompileException>(() => _compiler.Compile(KernelSource.Of("tiny", "\n#include \"nowhere.cuh\"\n"), "sm_90"))!;
        Assert.That((e.File, e.Line), Is.EqualTo(("tiny.cu", 2)));
        Assert.That(e.Log, Does.Contain("nowhere.cuh"));
    }

    [Test]
    public void An_error_that_is_not_of_the_source_is_told_as_one_of_nvrtc()
    {
        CudaException e = Assert.Throws<CudaException>(() => RealNvrtc.Require().Compile(Text, "tiny.cu", [], ["--gpu-architecture=sm_90", "--no-such-option"]))!;
        Assert.That((e.Library, e.Code), Is.EqualTo(("NVRTC", (int)nvrtcResult.InvalidOption)));
        Assert.That(e.Message, Does.Contain("--no-such-option").And.Contain("NVRTC_ERROR_INVALID_OPTION"));
    }

    [Test]
    public void Several_files_are_compiled_at_once_and_the_first_error_comes_as_itself()
    {
        IReadOnlyDictionary<string, byte[]> images = _compiler.CompileEach(["scan", "select", "scan"], "sm_80");
        Assert.That(images.Keys, Is.EquivalentTo(new[] { "scan", "select" }));
        Assert.That(() => _compiler.CompileEach(["scan", "nowhere"], "sm_80"), Throws.TypeOf<GraftException>().With.Message.Contains("nowhere.cu"));
    }

    [TestCase("sm_80", false, "sm_80")]
    [TestCase("sm_90", false, "sm_90")]
    [TestCase("sm_90", true, "sm_90a")]
    [TestCase("sm_86", true, "sm_86")]
    [TestCase("sm_88", false, "sm_87", Description = "unknown to 12.4: the cubin of an older card of its generation runs")]
    [TestCase("sm_120", false, "compute_90", Description = "a new generation: PTX, for the driver to compile")]
    [TestCase("sm_90a", false, "sm_90a", Description = "named in full")]
    public void The_architecture_fits_card_and_compiler(string card, bool sm90a, string expected)
    {
        if (RealNvrtc.Require().Version is var version && version != new Version(12, 4))
        {
            Assert.Ignore($"the cases are those of NVRTC 12.4, this is {version}");
        }

        Assert.That(_compiler.ChooseArchitecture(card, sm90a), Is.EqualTo(expected));
    }

    [Test]
    public void A_card_that_is_too_old_is_refused()
        => Assert.That(() => _compiler.ChooseArchitecture("sm_75"), Throws.TypeOf<CudaUnavailableException>().With.Message.Contains("sm_80"));

    [Test]
    public void Ptx_is_given_for_a_card_newer_than_the_compiler()
    {
        byte[] image = _compiler.Compile(KernelSource.Of("tiny", Text), "sm_120");
        Assert.That(System.Text.Encoding.UTF8.GetString(image), Does.Contain(".target sm_90").And.Contain(".entry tiny").And.EndsWith("\0"));
    }

    [Test]
    public void A_file_brings_the_headers_that_it_includes_and_no_others()
    {
        Assert.That(KernelSource.Of("tiny", Text).Headers.Select(h => h.Name), Is.EqualTo(new[] { "common.cuh", "hardware.cuh" }));
        Assert.That(KernelSource.Of("tiny", "int x;").Headers, Is.Empty);
        Assert.That(KernelSource.Families, Is.Not.Empty.And.Ordered.And.Unique);
    }

    [TestCase("// Needs     sm_90a: wgmma\n", true)]
    [TestCase("// Needs     sm_80 or newer\n// sm_90a\n", false)]
    public void A_file_says_in_its_header_that_it_needs_sm_90a(string text, bool expected) => Assert.That(KernelSource.Of("tiny", text).NeedsSm90a, Is.EqualTo(expected));
}
