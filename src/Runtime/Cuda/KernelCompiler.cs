using System.Collections.Concurrent;
using System.Globalization;
using System.Text.RegularExpressions;
using Graft.Runtime.Interop;

namespace Graft.Runtime;

/// <summary>Compiles kernel files with NVRTC for an architecture, or takes them from the cache.</summary>
/// <param name="nvrtc">The compiler.</param>
/// <param name="cache">Where images are kept.</param>
internal sealed partial class KernelCompiler(NvrtcLibrary nvrtc, KernelCache cache)
{
    private static readonly Lazy<KernelCompiler> s_default = new(() => new KernelCompiler(NvrtcLibrary.Default, KernelCache.Default));

    private readonly string _identity = Identity(nvrtc);
    private int _compiled;

    /// <summary>How many files were compiled, not found in the cache.</summary>
    public int Compiled => _compiled;

    /// <summary>With the NVRTC of this process and the user's cache.</summary>
    /// <exception cref="CudaUnavailableException">There is no NVRTC.</exception>
    public static KernelCompiler Default => s_default.Value;

    /// <summary>The image of an embedded kernel file for a card.</summary>
    /// <param name="family">The file, without its ending.</param>
    /// <param name="card">The card's architecture, sm_90.</param>
    /// <exception cref="KernelCompileException">It does not compile: names file and line.</exception>
    /// <exception cref="CudaUnavailableException">There is no NVRTC, or none that compiles for the card.</exception>
    public static byte[] Compile(string family, string card) => Default.Compile(KernelSource.Read(family), card);

    /// <summary>Several embedded files at once, on as many threads as there are cores.</summary>
    public static IReadOnlyDictionary<string, byte[]> CompileAll(IEnumerable<string> families, string card) => Default.CompileEach(families, card);

    /// <inheritdoc cref="CompileAll"/>
    public IReadOnlyDictionary<string, byte[]> CompileEach(IEnumerable<string> families, string card)
    {
        ConcurrentDictionary<string, byte[]> images = new();
        try
        {
            // One file at a time to each thread, the longest first: they take from 0.1 to 4 seconds.
            OrderablePartitioner<KernelSource> sources = Partitioner.Create(
                families.Distinct().Select(KernelSource.Read).OrderByDescending(s => s.Text.Length).ToArray(), loadBalance: true);
            _ = Parallel.ForEach(sources, source => images[source.Family] = Compile(source, card));
        }
        catch (AggregateException e) when (e.InnerExceptions[0] is GraftException first)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);
        }

        return images;
    }

    /// <summary>A cubin, or PTX where NVRTC is older than the card.</summary>
    public byte[] Compile(KernelSource source, string card)
    {
        string architecture = ChooseArchitecture(card, source.NeedsSm90a);
        string key = Key(source, Options(architecture));
        byte[]? image = cache.Read(source.Family, architecture, key);
        if (image is null)
        {
            image = CompileAnew(source, architecture).Image!;
            cache.Write(source.Family, architecture, key, image);
        }

        return image;
    }

    /// <summary>Compiles without the cache, with further options (`--ptxas-options=-v` puts each kernel's registers and spills into the log).</summary>
    public NvrtcOutput CompileAnew(KernelSource source, string architecture, params string[] moreOptions)
    {
        _ = Interlocked.Increment(ref _compiled);
        NvrtcOutput output = nvrtc.Compile(source.Text, source.Family + ".cu", source.Headers, [.. Options(architecture), .. moreOptions]);
        return output.Image is not null ? output : throw Failure(source.Family, architecture, output.Log);
    }

    /// <summary>Everything that the image depends on.</summary>
    public string Key(KernelSource source, IEnumerable<string> options) => KernelCache.Key(
    [
        string.Create(CultureInfo.InvariantCulture, $"format {KernelCache.Format}"), _identity, source.Family, source.Text,
        .. source.Headers.SelectMany(h => new[] { h.Name, h.Text }), "options", .. options,
    ]);

    /// <summary>What to compile for so that a card runs it.</summary>
    /// <remarks>
    /// The card's own architecture where NVRTC knows it. Else the newest below it: as a cubin in the same major version, where cubins run upwards, otherwise as PTX, which the
    /// driver compiles for the card when it is loaded.
    /// </remarks>
    /// <param name="card">The card's, sm_90.</param>
    /// <param name="sm90a">The file has instructions of sm_90a.</param>
    public string ChooseArchitecture(string card, bool sm90a = false)
    {
        if (!Card().IsMatch(card))
        {
            return card; // named in full by the caller
        }

        int number = int.Parse(card.AsSpan("sm_".Length), CultureInfo.InvariantCulture);
        if (number < 80)
        {
            throw new CudaUnavailableException($"CUDA: the card is {card}, and the kernels need sm_80 (Ampere) or newer.");
        }

        IReadOnlyList<int> known = nvrtc.Architectures;
        if (known.Count == 0 || known.Contains(number))
        {
            return sm90a && number == 90 ? "sm_90a" : card;
        }

        int below = known.LastOrDefault(a => a < number && a >= 80);
        return below == 0
            ? throw new CudaUnavailableException(
                $"CUDA: NVRTC {nvrtc.Version} at {nvrtc.Path} does not compile for {card} (only {string.Join(", ", known.Select(a => $"sm_{a}"))}); install another version.")
            : below / 10 == number / 10 ? $"sm_{below}" : $"compute_{below}";
    }

    // --restrict: no two pointers of a kernel overlap, except where one and the same thread reads an element before it writes it.
    private static string[] Options(string architecture) => [$"--gpu-architecture={architecture}", "--std=c++17", "--restrict"];

    private static KernelCompileException Failure(string family, string architecture, string log)
    {
        Match error = Error().Match(log);
        return error.Success
            ? new(family, architecture, error.Groups["file"].Value, int.Parse(error.Groups["line"].ValueSpan, CultureInfo.InvariantCulture), log)
            : new(family, architecture, null, 0, log);
    }

    /// <summary>The version, and of its file the size and time: two builds of one version do not share images, and neither do a compiler and its emulation.</summary>
    private static string Identity(NvrtcLibrary nvrtc)
    {
        FileInfo file = new(nvrtc.Path);
        file = file.Exists && file.ResolveLinkTarget(returnFinalTarget: true) is FileInfo target ? target : file;
        return file.Exists
            ? string.Create(CultureInfo.InvariantCulture, $"nvrtc {nvrtc.Version} {file.Length} {file.LastWriteTimeUtc.Ticks}")
            : $"nvrtc {nvrtc.Version}";
    }

    [GeneratedRegex(@"^sm_\d+$")]
    private static partial Regex Card();

    // NVRTC: rms_norm.cu(12): error: ...; g++ of the emulator: rms_norm.cu:12:3: error: ...
    [GeneratedRegex(@"^(?<file>[^\s():]+)(\((?<line>\d+)\)|:(?<line>\d+)(:\d+)?): (catastrophic |fatal )?error", RegexOptions.Multiline)]
    private static partial Regex Error();
}
