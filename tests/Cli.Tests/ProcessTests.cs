using System.Diagnostics;
using System.Text.Json;

namespace Graft.Cli.Tests;

/// <summary>Programs as processes of their own: the samples, and the tool on a real model.</summary>
internal sealed class ProcessTests
{
#if DEBUG
    private const string Configuration = "Debug";
#else
    private const string Configuration = "Release";
#endif

    private static readonly long s_limit = 2560L << 20;

    [TestCase("bespoke-trainer", "")]
    [TestCase("trainer", "adapter")]
    public async Task A_sample_trains_and_saves(string name, string adapter)
    {
        using TemporaryFolder folder = new();
        string output = Path.Combine(folder.Path, "out");
        string data = folder.File("data.jsonl", string.Join('\n', File.ReadLines(Sample.Data).Take(64)));
        string program = Path.Combine(Sample.Root, "samples", name, "bin", Configuration, "net10.0", name + ".dll");
        (int code, string text, string error) = await Run([program, Sample.Model, data, output, "4"]);
        Assert.That(code, Is.Zero, text + error);
        string[] steps = [.. text.Split('\n').Where(l => l.StartsWith("step ", StringComparison.Ordinal))];
        Assert.That(steps, Has.Length.EqualTo(4), text);
        Assert.That(Loss(steps[^1]), Is.LessThan(Loss(steps[0])));
        ToolRun eval = await ToolRun.Of("eval", Sample.Model, "--json", "--data", data, "--samples", "8", "--adapter", Path.Combine(output, adapter));
        Assert.That(eval.Code, Is.Zero, eval.Error);
    }

    [Test]
    public async Task A_real_model_trains_from_its_quantised_file_within_two_and_a_half_gibibytes()
    {
        if (FixtureFolder.Models is not { } models || !File.Exists(Path.Combine(models, "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf")))
        {
            Assert.Ignore(FixtureFolder.ModelsReason);
            return;
        }

        using TemporaryFolder folder = new();
        string file = Path.Combine(Sample.Root, "samples", "smollm2", "run.yaml");
        string[] sets =
        [
            "training.steps=2", "schedule.warmup_steps=0", "data.eval_samples=2", "generation.prompts=1", "generation.max_new_tokens=4",
            $"output.path={folder.Path}", $"data.cache={folder.Path}",
        ];
        string tool = Path.Combine(AppContext.BaseDirectory, "graft.dll");
        (int code, string text, string error) = await Run([tool, "train", file, "--json", .. sets.SelectMany(s => new[] { "--set", s })], ("GRAFT_MODELS", models));
        Assert.That(code, Is.Zero, text + error);
        using JsonDocument last = JsonDocument.Parse(text.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1]);
        Assert.That(last.RootElement.GetProperty("event").GetString(), Is.EqualTo("finished"));
        Assert.That(last.RootElement.GetProperty("resident_bytes").GetInt64(), Is.LessThan(s_limit));
        Assert.That(last.RootElement.GetProperty("perplexity_after").GetDouble(), Is.LessThan(last.RootElement.GetProperty("perplexity_before").GetDouble()));
        TestContext.Out.WriteLine(last.RootElement.GetRawText());
    }

    [Test]
    [Category("CudaEmulator")]
    public async Task A_run_on_a_card_is_the_run_on_the_cpu_and_says_what_the_card_is()
    {
        CudaTestDevice.Require();
        (string, string)[] environment = CudaTestDevice.IsGpu
            ? []
            : [("GRAFT_CUDA_PATH", CudaTestDevice.EmulatorFolder), ("GRAFT_CACHE", Path.Combine(CudaTestDevice.EmulatorFolder, "kernels"))];
        string tool = Path.Combine(AppContext.BaseDirectory, "graft.dll");
        JsonElement cpu = await Finished("cpu"), card = await Finished("cuda");
        foreach (string name in new[] { "perplexity_before", "perplexity_after" })
        {
            Assert.That(card.GetProperty(name).GetDouble(), Is.EqualTo(cpu.GetProperty(name).GetDouble()).Within(0.1).Percent, name);
        }

        string device = card.GetProperty("device").GetString()!;
        Assert.That(device, Does.StartWith("cuda:0 ("));
        Assert.That(device.Contains("emulator (no GPU)", StringComparison.Ordinal), Is.EqualTo(!CudaTestDevice.IsGpu));

        (int done, string evaluated, string notes) = await Run([tool, "eval", Sample.RunFile, "--device", "cuda", "--samples", "2"], environment);
        Assert.That(done, Is.Zero, evaluated + notes);
        Assert.That(notes.Contains("emulator (no GPU)", StringComparison.Ordinal), Is.EqualTo(!CudaTestDevice.IsGpu), notes);

        async Task<JsonElement> Finished(string on)
        {
            using TemporaryFolder folder = new();
            (int code, string text, string error) = await Run([tool, "train", Sample.RunFile, "--json", "--device", on, .. Sample.Small(folder.Path)], environment);
            Assert.That(code, Is.Zero, text + error);
            using JsonDocument last = JsonDocument.Parse(text.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1]);
            return last.RootElement.Clone();
        }
    }

    private static double Loss(string line)
    {
        string number = line[(line.IndexOf("loss ", StringComparison.Ordinal) + 5)..].Split(',')[0];
        return double.Parse(number, System.Globalization.CultureInfo.InvariantCulture);
    }

    private static async Task<(int Code, string Output, string Error)> Run(string[] args, params (string Name, string Value)[] environment)
    {
        ProcessStartInfo start = new("dotnet", args) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Sample.Root };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output, await error);
    }
}
