using System.Diagnostics.CodeAnalysis;
using Graft.Bench.Peers;
using Graft.Bench.Report;
using Graft.Bench.Works;

namespace Graft.Bench;

/// <summary>`Graft.Bench [works] [--quick] [--ours] [--guard] [--out folder]`: runs works and writes their results.</summary>
internal static class BenchCommand
{
    private const string Usage = """
        Graft.Bench [work ...] [--quick] [--ours] [--guard] [--out folder]

          machine    peak F32 arithmetic, read and copy bandwidth
          sgemm      matrix products                                       beside torch.addmm, and OpenBLAS with GRAFT_OPENBLAS=<library>
          attention  causal attention, forward and backward                beside torch.scaled_dot_product_attention
          ops        row-wise ops and activations, forward and backward    beside torch's ops
          adamw      AdamW on the parameters of GPT-2 124M, and clipping   beside torch.optim.AdamW
          plain      kernels of today                                      beside the plain versions that they replaced
          gpt2       GPT-2 124M, full training steps, AdamW                beside TorchSharp
          llm.c      the same step                                         beside llm.c, which GRAFT_LLM_C names
          smollm2    SmolLM2-135M, LoRA training steps, AdamW              beside TorchSharp
          smollm2-checkpointing   the same, our layers run again in backward
          adapters   steps of other adapters                               beside our LoRA
          growth     cost of a step by tokens, layers and cores
          generate   SmolLM2-135M, cached greedy generation                beside TorchSharp
          decode     SmolLM2-135M from a GGUF file, a 1B shape in BF16     beside llama.cpp
          start      process start to the first training step of the published tool
          kernels    single kernels, by BenchmarkDotNet
          gpu        works on a CUDA card, see docs/gpu.md; gpu --help

        Without a name, all but kernels are run. --quick is a smoke run with small models; its results go to artifacts/bench. --ours leaves the peer out.
        Results are compared with the last committed ones of the same machine kind; what fell by more than 10 % is printed, and --guard makes that an error.
        GRAFT_MODELS names a folder with a GGUF file of SmolLM2-135M; without it the weights are drawn.
        GRAFT_LLAMA_BENCH is the path of llama-bench, the peer of decode.
        GRAFT_BENCH_ROWS keeps those rows of ops whose name contains it.
        """;

    /// <summary>Runs the program; the exit code: 0 done, 1 a work failed or its check did, 2 a wrong command line.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args is [ChildProcess.Switch, string work, string side, ..])
        {
            return ChildProcess.Answer(WorkTable.Find(work), side, args.Contains("--quick"));
        }

        if (args is ["gpu", .. string[] rest])
        {
            return Gpu.GpuCommand.Run(rest);
        }

        if (args.Contains("kernels"))
        {
            return Kernels.KernelBenchmarks.Run(args);
        }

        if (!TryParse(args, out BenchOptions? options, out string? complaint))
        {
            await Console.Error.WriteLineAsync(complaint ?? Usage);
            return complaint is null ? 0 : 2;
        }

        return options.Works.Count > 1 ? await EachAsync(options) : Run(options);
    }

    // A process for each: what a peer's library keeps of one work, some GiB after the larger ones, is not in the way of the next.
    private static async Task<int> EachAsync(BenchOptions options)
    {
        bool failed = false;
        foreach (string name in options.Works)
        {
            string[] flags = [.. options.Quick ? ["--quick"] : Array.Empty<string>(), .. options.OursOnly ? ["--ours"] : Array.Empty<string>(), .. options.Guard ? ["--guard"] : Array.Empty<string>()];
            int code = await ChildProcess.RunAsync([name, "--out", options.Folder, .. flags]);
            if (code is not (0 or 1))
            {
                await Console.Error.WriteLineAsync($"{name}: its process ended with code {code}; what it had not written is missing.");
            }

            failed |= code != 0;
        }

        return failed ? 1 : 0;
    }

    private static int Run(BenchOptions options)
    {
        string name = options.Works[0];
        Torch.Prepare(options.OursOnly);
        Console.WriteLine(Torch.IsAvailable ? $"peer: {Torch.Version}, {Torch.Threads} threads" : $"no peer: {Torch.Reason}");
        options = options with { Limits = Machine.Measure(options.Quick) };
        ResultFile results = new(options, RepositoryRoot());
        bool failed = false;
        try
        {
            foreach (BenchRow row in WorkTable.Find(name)!.Run(options))
            {
                results.Add(row);
                Console.WriteLine(ResultTable.Line(row));
                failed |= row.Failed;
            }
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // What it measured before is kept.
            Console.Error.WriteLine($"{name}: {e}");
            failed = true;
        }

        results.Write();
        Fall[] fallen = [.. results.Fallen.Where(f => ResultTable.Split(f.Work).Work == name)];
        foreach (Fall fall in fallen)
        {
            Console.WriteLine($"fell against {results.ComparedWith}: {fall}");
        }

        Console.WriteLine($"written: {results.Path}, with a table and a picture beside it");
        return failed || (options.Guard && fallen.Length > 0) ? 1 : 0;
    }

    private static bool TryParse(string[] args, [NotNullWhen(true)] out BenchOptions? options, out string? complaint)
    {
        List<string> works = [];
        bool quick = false, oursOnly = false, guard = false;
        string? folder = null;
        (options, complaint) = (null, null);
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--quick":
                    quick = true;
                    break;
                case "--ours":
                    oursOnly = true;
                    break;
                case "--guard":
                    guard = true;
                    break;
                case "--out" when i + 1 < args.Length:
                    folder = args[++i];
                    break;
                case "--help" or "-h":
                    return false;
                default:
                    if (WorkTable.Find(args[i]) is null)
                    {
                        complaint = $"'{args[i]}' is neither a work nor an option.\n\n{Usage}";
                        return false;
                    }

                    works.Add(args[i]);
                    break;
            }
        }

        folder ??= Path.Combine(RepositoryRoot(), quick ? "artifacts/bench" : "bench/results");
        options = new BenchOptions(works.Count > 0 ? works : [.. WorkTable.All.Select(w => w.Name)], quick, folder, oursOnly) { Guard = guard };
        return true;
    }

    internal static string RepositoryRoot()
    {
        foreach (string start in new[] { Environment.CurrentDirectory, AppContext.BaseDirectory })
        {
            for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
            {
                if (File.Exists(Path.Combine(folder.FullName, "Directory.Packages.props")))
                {
                    return folder.FullName;
                }
            }
        }

        return Environment.CurrentDirectory;
    }
}
