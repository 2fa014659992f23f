using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>Every kernel compiled by NVIDIA's compiler for every architecture: no card is needed for that.</summary>
[Category("Nvrtc")]
public sealed partial class NvrtcTests
{
    // A kernel that may use local memory, and why. Everything else keeps its values in registers.
    private static readonly Dictionary<string, string> s_localMemory = [];

    private static IEnumerable<TestCaseData> Pairs => KernelProof.Pairs.Select(p => new TestCaseData(p.Family, p.Architecture).SetArgDisplayNames(p.Family, p.Architecture));

    [TestCaseSource(nameof(Pairs))]
    public void A_kernel_file_compiles_without_spills(string family, string architecture)
    {
        _ = RealNvrtc.Require();
        IReadOnlyList<KernelFigures> kernels = KernelProof.Of(family, architecture);
        Assert.That(kernels.Select(k => k.Name), Is.SupersetOf(Exported(family)), "kernels that the text names must all be in the compiler's log");
        Assert.That(kernels, Is.Not.Empty);
        Assert.That(
            kernels.Where(k => k.StackBytes + k.SpillStoreBytes + k.SpillLoadBytes > 0 && !s_localMemory.ContainsKey(k.Name)),
            Is.Empty,
            "kernels with a stack frame or spilled registers: use fewer registers, or name the kernel in s_localMemory with the reason");
    }

    [Test]
    public void Local_memory_shared_memory_and_registers_are_seen()
    {
        // An array that is indexed by data cannot stay in registers.
        const string Text = "extern \"C\" __global__ void k(float* x, const int* i) { __shared__ float s[8]; float a[64]; for (int j = 0; j < 64; j++) { a[i[j] & 63] = x[j]; } "
            + "s[threadIdx.x & 7] = a[i[0] & 63]; __syncthreads(); x[0] = s[i[1] & 7] + a[i[2] & 63]; }";
        string log = RealNvrtc.Require().Compile(Text, "k.cu", [], ["--gpu-architecture=sm_90", "--ptxas-options=-v"]).Log;
        KernelFigures kernel = KernelProof.Parse(log).Single();
        Assert.That((kernel.Name, kernel.SharedBytes, kernel.StackBytes), Is.EqualTo(("k", 32, 256)));
        Assert.That(kernel.Registers, Is.InRange(8, 255));
    }

    [Test]
    public void No_reason_for_local_memory_outlives_its_kernel()
    {
        _ = RealNvrtc.Require();
        HashSet<string> users = [.. KernelProof.Pairs.SelectMany(p => KernelProof.Of(p.Family, p.Architecture)).Where(k => k.StackBytes + k.SpillStoreBytes > 0).Select(k => k.Name)];
        Assert.That(s_localMemory.Keys.Except(users), Is.Empty);
    }

    [Test]
    [Category("Docs")]
    public void The_table_of_kernels_in_the_documentation_is_up_to_date()
    {
        Version version = RealNvrtc.Require().Version;
        if (version != new Version(12, 4))
        {
            Assert.Ignore($"docs/kernels.md has the figures of NVRTC 12.4, this is {version}");
        }

        if (FixtureFolder.Repository is not { } root)
        {
            Assert.Ignore("no checkout here: the committed file is not at hand");
            return;
        }

        string text = Page();
        string path = Path.Combine(root, "docs", "kernels.md");
        if (Environment.GetEnvironmentVariable("GRAFT_UPDATE_DOCS") == "1")
        {
            File.WriteAllText(path, text);
        }

        string committed = File.Exists(path) ? File.ReadAllText(path) : "";
        Assert.That(committed, Is.EqualTo(text), "docs/kernels.md is out of date: run this test with GRAFT_UPDATE_DOCS=1 and commit the file");
    }

    private static string Page()
    {
        StringBuilder text = new();
        _ = text.Append("# Kernels\n\n")
            .Append("Every CUDA kernel of `src/Kernels/cu`, compiled by NVRTC 12.4 for three architectures (`tests/Runtime.Tests/Cuda/NvrtcTests.cs`); no card is needed for that.\n")
            .Append("To make it anew: `GRAFT_UPDATE_DOCS=1 dotnet test tests/Runtime.Tests --filter FullyQualifiedName~NvrtcTests`.\n\n")
            .Append("Registers are per thread, static shared memory in bytes per block (dynamic shared memory is chosen at the launch and stands in the file's header); ")
            .Append("stack and spills are bytes per thread, the largest of the three. What a kernel computes and how fast it can be stands at the top of its file.\n");
        int count = 0;
        foreach (IGrouping<string, (string Family, string Architecture)> family in KernelProof.Pairs.GroupBy(p => p.Family))
        {
            Dictionary<string, Dictionary<string, KernelFigures>> byArchitecture = family.ToDictionary(p => p.Architecture, p => KernelProof.Of(p.Family, p.Architecture).ToDictionary(k => k.Name));
            _ = text.Append(CultureInfo.InvariantCulture, $"\n## {family.Key}.cu\n\n{Summary(family.Key)}\n\n")
                .Append("| kernel | registers sm_80 | sm_90 | sm_90a | shared | stack | spills |\n|---|---|---|---|---|---|---|\n");
            foreach (string name in byArchitecture.Values.SelectMany(k => k.Keys).Distinct().Order(StringComparer.Ordinal))
            {
                KernelFigures[] all = [.. byArchitecture.Values.Where(k => k.ContainsKey(name)).Select(k => k[name])];
                IEnumerable<string> registers = KernelProof.Architectures.Select(a => byArchitecture.GetValueOrDefault(a)?.GetValueOrDefault(name)?.Registers.ToString(CultureInfo.InvariantCulture) ?? "-");
                _ = text.Append(
                    CultureInfo.InvariantCulture,
                    $"| {name} | {string.Join(" | ", registers)} | {all.Max(k => k.SharedBytes)} | {all.Max(k => k.StackBytes)} | {all.Max(k => k.SpillStoreBytes + k.SpillLoadBytes)} |\n");
                count++;
            }
        }

        foreach ((string kernel, string reason) in s_localMemory)
        {
            _ = text.Append(CultureInfo.InvariantCulture, $"\n`{kernel}` uses local memory: {reason}\n");
        }

        return text.Append(CultureInfo.InvariantCulture, $"\n{count} kernels.\n").ToString();
    }

    /// <summary>The first line of the file: "// softmax.cu: softmax over the last axis."</summary>
    private static string Summary(string family)
    {
        string text = KernelSource.Read(family).Text;
        string line = text[..text.IndexOf('\n', StringComparison.Ordinal)];
        return line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
    }

    /// <summary>Names that stand in the text as entry points, those made by macros left out.</summary>
    private static IEnumerable<string> Exported(string family) => Export().Matches(KernelSource.Read(family).Text).Select(m => m.Groups[1].Value);

    [GeneratedRegex(@"^(?:GRAFT_KERNEL|extern ""C"" __global__ void)\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(", RegexOptions.Multiline)]
    private static partial Regex Export();
}
