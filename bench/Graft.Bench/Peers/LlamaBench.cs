using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Graft.Bench.Peers;

/// <summary>llama.cpp's own benchmark as a child process: GRAFT_LLAMA_BENCH is the path of the program.</summary>
internal static class LlamaBench
{
    private static readonly string? s_program = Environment.GetEnvironmentVariable("GRAFT_LLAMA_BENCH");

    /// <summary>Whether there is one.</summary>
    public static bool IsAvailable => File.Exists(s_program);

    /// <summary>Tokens per second of a prompt and of decoding: one run of each, which the program warms up.</summary>
    /// <param name="file">The GGUF file.</param>
    /// <param name="prompt">Tokens of the prompt.</param>
    /// <param name="news">Tokens to decode.</param>
    public static (double Prompt, double Decode) Measure(string file, int prompt, int news)
    {
        ProcessStartInfo start = new(s_program!) { RedirectStandardOutput = true, RedirectStandardError = true };
        string threads = Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture);
        foreach (string argument in (string[])["-m", file, "-t", threads, "-p", $"{prompt}", "-n", $"{news}", "-r", "1", "-o", "json"])
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{s_program} failed with {process.ExitCode}: {errors.Result}");
        }

        using JsonDocument json = JsonDocument.Parse(output);
        double Rate(string count) => json.RootElement.EnumerateArray().First(r => r.GetProperty(count).GetInt32() > 0).GetProperty("avg_ts").GetDouble();
        return (Rate("n_prompt"), Rate("n_gen"));
    }
}
