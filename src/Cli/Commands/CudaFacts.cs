using System.Globalization;
using Graft.Cli.Output;
using Graft.Runtime;

namespace Graft.Cli.Commands;

/// <summary>What `graft doctor` says of CUDA: each library and where it was looked for, each card, the folder of compiled kernels.</summary>
internal static class CudaFacts
{
    public static (string Name, string Value)[] Read()
    {
        KernelCacheInfo cache = Cuda.Cache;
        return
        [
            .. Cuda.Libraries.Select(l => (l.Name, Library(l))),
            .. Cuda.Devices.Select(c => (c.IsEmulator ? $"emulator {c.Ordinal}" : $"card {c.Ordinal}", Card(c))).DefaultIfEmpty(("cards", "none")),
            ("kernel cache", cache.Problem ?? string.Create(CultureInfo.InvariantCulture, $"{cache.Folder}, {cache.Files} files, {Words.Bytes(cache.Bytes)}")),
        ];
    }

    public static (string Name, bool Ok, string Text) Feature()
    {
        if (Cuda.Unavailable is { } why)
        {
            return ("CUDA", false, Bare(why));
        }

        IReadOnlyList<CudaCard> cards = Cuda.Devices;
        return cards.Any(c => c.IsEmulator)
            ? ("CUDA", false, "no GPU: the driver is the emulator of the tests, which computes on the CPU. It shows that results are right, never how fast a GPU is")
            : ("CUDA", true, string.Join("; ", cards.Select(c => c.Name)));
    }

    private static string Library(CudaLibraryInfo library) => library.Missing is { } missing
        ? Bare(missing)
        : $"{library.Version} at {library.Path}{(library.Notes.Length == 0 ? "" : $", {library.Notes}")}";

    /// <summary>The text of an error without the word that stands before it in the table.</summary>
    private static string Bare(string text) => text.StartsWith("CUDA: ", StringComparison.Ordinal) ? text["CUDA: ".Length..] : text;

    private static string Card(CudaCard card) => card.IsEmulator
        ? $"{card.Name}: an emulated driver that computes on the CPU, in place of a card of compute capability {card.Major}.{card.Minor}"
        : string.Create(CultureInfo.InvariantCulture, $"{card.Name}, compute capability {card.Major}.{card.Minor}, {card.Multiprocessors} multiprocessors, {Words.Bytes(card.MemoryBytes)}");
}
