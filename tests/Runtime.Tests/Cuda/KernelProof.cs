using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Graft.Runtime.Interop;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>What ptxas says of a kernel.</summary>
internal sealed record KernelFigures(string Name, int Registers, int SharedBytes, int StackBytes, int SpillStoreBytes, int SpillLoadBytes);

/// <summary>Every kernel file compiled by real NVRTC for every architecture; each once per run, and again only after something changed (artifacts/kernel-logs).</summary>
internal static partial class KernelProof
{
    private static readonly Lazy<ConcurrentDictionary<(string, string), object>> s_results = new(CompileAll);

    /// <summary>The oldest that kernels are written for, and Hopper with and without what only it has.</summary>
    public static string[] Architectures { get; } = ["sm_80", "sm_90", "sm_90a"];

    /// <summary>Files and architectures that belong together: a file that needs sm_90a has no other.</summary>
    public static IEnumerable<(string Family, string Architecture)> Pairs =>
        from family in KernelSource.Families
        let special = KernelSource.Read(family).NeedsSm90a
        from architecture in Architectures
        where !special || architecture == "sm_90a"
        select (family, architecture);

    /// <summary>The kernels of a file, in the order of their names.</summary>
    /// <exception cref="KernelCompileException">It does not compile.</exception>
    public static IReadOnlyList<KernelFigures> Of(string family, string architecture) => s_results.Value[(family, architecture)] switch
    {
        string log => Parse(log),
        object e => throw (Exception)e,
    };

    public static IReadOnlyList<KernelFigures> Parse(string log)
    {
        // Each kernel has an entry of three lines; "Function properties" of device functions stand between them without a line "Used".
        List<KernelFigures> kernels = [];
        string? name = null;
        int[] frame = [];
        foreach (string line in log.Split('\n'))
        {
            if (Entry().Match(line) is { Success: true } entry)
            {
                name = entry.Groups[1].Value;
            }
            else if (Frame().Match(line) is { Success: true } stack)
            {
                frame = [.. stack.Groups.Values.Skip(1).Select(g => int.Parse(g.ValueSpan, CultureInfo.InvariantCulture))];
            }
            else if (Used().Match(line) is { Success: true } used && name is not null)
            {
                int shared = Shared().Match(line) is { Success: true } s ? int.Parse(s.Groups[1].ValueSpan, CultureInfo.InvariantCulture) : 0;
                kernels.Add(new(name, int.Parse(used.Groups[1].ValueSpan, CultureInfo.InvariantCulture), shared, frame[0], frame[1], frame[2]));
                name = null;
            }
        }

        return [.. kernels.OrderBy(k => k.Name, StringComparer.Ordinal)];
    }

    private static ConcurrentDictionary<(string, string), object> CompileAll()
    {
        const string Verbose = "--ptxas-options=-v";
        KernelCache logs = new(FixtureFolder.Repository is { } root ? Path.Combine(root, "artifacts", "kernel-logs") : null);
        KernelCompiler compiler = new(RealNvrtc.Require(), logs);
        ConcurrentDictionary<(string, string), object> results = new();
        _ = Parallel.ForEach(Pairs, pair =>
        {
            KernelSource source = KernelSource.Read(pair.Family);
            string key = compiler.Key(source, [pair.Architecture, Verbose]);
            try
            {
                string? log = logs.Read(pair.Family, pair.Architecture, key) is { } kept ? Encoding.UTF8.GetString(kept) : null;
                if (log is null)
                {
                    NvrtcOutput output = compiler.CompileAnew(source, pair.Architecture, Verbose);
                    Assert.That(output.Image!.AsSpan(0, 4).SequenceEqual("\u007fELF"u8), "a cubin is an ELF file");
                    log = output.Log;
                    logs.Write(pair.Family, pair.Architecture, key, Encoding.UTF8.GetBytes(log));
                }

                results[pair] = log;
            }
            catch (KernelCompileException e)
            {
                results[pair] = e;
            }
        });
        return results;
    }

    [GeneratedRegex(@"Compiling entry function '(\w+)'")]
    private static partial Regex Entry();

    [GeneratedRegex(@"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")]
    private static partial Regex Frame();

    [GeneratedRegex(@"Used (\d+) registers")]
    private static partial Regex Used();

    [GeneratedRegex(@"(\d+) bytes smem")]
    private static partial Regex Shared();
}
