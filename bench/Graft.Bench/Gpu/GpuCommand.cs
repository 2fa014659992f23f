using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Runtime;

namespace Graft.Bench.Gpu;

/// <summary>The command `gpu`: measures works on a CUDA card, each into a file of its own, and merges them with what the peers' scripts wrote.</summary>
internal static class GpuCommand
{
    private const string Usage = """
        gpu [work ...] --out folder [--quick]    measures works on card 0: limits, memory, attention, head, lora, gpt2, launch; all without a name
        gpu merge --out folder                   ours and the peers' files of the folder as results.json and results.md
        gpu --emulated-smoke [--out folder]      every work at tiny sizes on the emulated driver of the tests: no figure of it means anything
        """;

    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    private static readonly (string Name, Func<CudaDevice, GpuOptions, IEnumerable<GpuRow>> Run)[] s_works =
    [
        ("limits", LimitsWork.Run),
        ("memory", MemoryWork.Run),
        ("attention", AttentionWork.Run),
        ("head", HeadWork.Run),
        ("launch", LaunchWork.Run),
        ("gpt2", StepWork.Small),
        ("lora", StepWork.Lora),
    ];

    public static int Run(string[] args)
    {
        bool smoke = args.Contains("--emulated-smoke"), quick = args.Contains("--quick");
        int at = Array.IndexOf(args, "--out");
        string? folder = at >= 0 && at + 1 < args.Length ? args[at + 1] : smoke ? Path.Combine(Path.GetTempPath(), $"graft-emulated-smoke-{Environment.ProcessId}") : null;
        string[] names = [.. args.Where((a, i) => !a.StartsWith("--", StringComparison.Ordinal) && i != at + 1 | at < 0)];
        if (folder is null || names.Any(n => n != "merge" && s_works.All(w => w.Name != n)))
        {
            Console.Error.WriteLine(Usage);
            return 2;
        }

        if (smoke && Path.GetFullPath(folder).Contains(Path.Combine("bench", "results"), StringComparison.Ordinal))
        {
            Console.Error.WriteLine("bench/results holds measurements, and a smoke run makes none: name another folder.");
            return 2;
        }

        _ = Directory.CreateDirectory(folder);
        if (names is ["merge"])
        {
            GpuResults.Merge(folder);
            return 0;
        }

        using CudaDevice device = new();
        if (device.Card.IsEmulator != smoke)
        {
            Console.Error.WriteLine(smoke
                ? $"--emulated-smoke is for the emulated driver, and this is {device.Card.Name}."
                : "This is the emulated CUDA driver of the tests: it computes on the CPU and measures nothing. --emulated-smoke runs the works for their correctness alone.");
            return 2;
        }

        GpuOptions options = new(folder, smoke, quick);
        bool failed = false;
        foreach ((string name, Func<CudaDevice, GpuOptions, IEnumerable<GpuRow>> run) in s_works.Where(w => names.Length == 0 || names.Contains(w.Name)))
        {
            failed |= !Measure(device, options, name, run);
        }

        if (smoke)
        {
            Console.WriteLine("EMULATED SMOKE RUN on the CPU: the works ran; the figures are of the emulator and mean nothing.");
        }

        return failed ? 1 : 0;
    }

    private static bool Measure(CudaDevice device, GpuOptions options, string name, Func<CudaDevice, GpuOptions, IEnumerable<GpuRow>> run)
    {
        JsonArray rows = [];
        string? error = null;
        bool failed = false;
        void Write()
        {
            JsonObject file = new()
            {
                ["kind"] = options.Tiny ? "EMULATED on the CPU, tiny sizes: not a measurement" : "measured",
                ["card"] = Card(device),
                ["quick"] = options.Quick,
                ["error"] = error,
                ["rows"] = rows.DeepClone(),
            };
            File.WriteAllText(Path.Combine(options.Folder, $"ours-{name}.json"), file.ToJsonString(s_indented) + "\n");
        }

        try
        {
            foreach (GpuRow row in run(device, options))
            {
                GpuRow kept = options.Tiny ? row with { Targets = new Dictionary<string, double>(), Goal = 0, LimitTarget = null } : row; // no emulated figure meets a target
                rows.Add(kept.ToJson());
                failed |= row.Failed;
                Console.WriteLine(FormattableString.Invariant($"{(options.Tiny ? "EMULATED " : "")}{(row.Failed ? "CHECK FAILED " : "")}{row.Work}: {row.Ours:G5} {row.Unit} (p90 {row.P90:G5}). {row.Note}"));
                Write(); // after each row: whoever ends a long run keeps what is done
            }
        }
        catch (GraftException e)
        {
            error = e.Message; // one work that fails must not take the others with it
            Console.Error.WriteLine($"{name}: {e}");
        }

        Write();
        if (name == "limits" && rows.Count == 2)
        {
            JsonObject limits = new() { ["copyGBs"] = rows[0]!["ours"]!.DeepClone(), ["bf16GemmTflops"] = rows[1]!["ours"]!.DeepClone(), ["card"] = Card(device) };
            File.WriteAllText(Path.Combine(options.Folder, "limits.json"), limits.ToJsonString(s_indented) + "\n");
        }

        return error is null && !failed;
    }

    private static JsonObject Card(CudaDevice device) => new()
    {
        ["name"] = device.Card.Name,
        ["architecture"] = device.Card.Architecture,
        ["multiprocessors"] = device.Card.Multiprocessors,
        ["memoryGiB"] = Math.Round(device.Card.MemoryBytes / (double)(1 << 30), 1),
        ["driver"] = device.Card.DriverVersion,
        ["emulator"] = device.Card.IsEmulator,
    };
}
