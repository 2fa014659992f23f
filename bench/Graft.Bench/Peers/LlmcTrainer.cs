using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Graft.Bench.Works;
using Graft.Runtime;

namespace Graft.Bench.Peers;

/// <summary>GPT-2 as llm.c trains it on a CPU: a process (bench/peers/llmc_step.c) that makes one step for each line it reads.</summary>
/// <remarks>It gets our weights as a checkpoint of version 3: 256 integers of head, then F32, a kind of tensor at a time over all layers, matrices (out, in).</remarks>
internal sealed class LlmcTrainer : ITrainer
{
    /// <summary>The variable that names the program.</summary>
    public const string Variable = "GRAFT_LLM_C";

    private const int Magic = 20240326, Version = 3, HeadIntegers = 256;

    private static readonly (string Name, bool Transposed)[] s_layer =
    [
        ("ln_1.weight", false), ("ln_1.bias", false), ("attn.c_attn.weight", true), ("attn.c_attn.bias", false), ("attn.c_proj.weight", true), ("attn.c_proj.bias", false),
        ("ln_2.weight", false), ("ln_2.bias", false), ("mlp.c_fc.weight", true), ("mlp.c_fc.bias", false), ("mlp.c_proj.weight", true), ("mlp.c_proj.bias", false),
    ];

    private readonly string _folder = Directory.CreateTempSubdirectory("graft-llmc-").FullName;
    private readonly Process _process;

    /// <summary>Starts the program with our weights, on as many threads as there are processors.</summary>
    public LlmcTrainer(string program, IEnumerable<Parameter> parameters, Gpt2Sizes sizes, TokenBatch batch, double learningRate, double weightDecay)
    {
        string checkpoint = Path.Combine(_folder, "model.bin"), tokens = Path.Combine(_folder, "tokens.bin");
        Write(checkpoint, parameters.ToDictionary(p => p.Name, StringComparer.Ordinal), sizes);
        File.WriteAllBytes(tokens, [.. MemoryMarshal.AsBytes<int>(batch.Ids), .. MemoryMarshal.AsBytes<int>(batch.Targets)]);
        ProcessStartInfo start = new(program) { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment["OMP_NUM_THREADS"] = Text(Environment.ProcessorCount);
        foreach (string argument in (string[])[checkpoint, tokens, Text(batch.Rows), Text(batch.Length), Text(learningRate), Text(weightDecay)])
        {
            start.ArgumentList.Add(argument);
        }

        _process = Process.Start(start)!;
        _ = Answer("ready");
    }

    /// <inheritdoc/>
    public Phases Last => default;

    /// <inheritdoc/>
    public double Step()
    {
        _process.StandardInput.WriteLine();
        return double.Parse(Answer("step ").Split(' ')[1], CultureInfo.InvariantCulture);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _process.StandardInput.Close();
        _process.WaitForExit();
        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    // llm.c itself tells sizes in between.
    private string Answer(string beginning)
    {
        while (_process.StandardOutput.ReadLine() is { } line)
        {
            if (line.StartsWith(beginning, StringComparison.Ordinal))
            {
                return line;
            }
        }

        _process.WaitForExit();
        throw new InvalidOperationException($"llm.c ended with exit code {_process.ExitCode} in place of an answer.");
    }

    private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static void Write(string path, Dictionary<string, Parameter> parameters, Gpt2Sizes s)
    {
        int padded = (s.Vocabulary + 127) / 128 * 128;
        using FileStream file = File.Create(path);
        int[] head = new int[HeadIntegers];
        int[] told = [Magic, Version, s.Positions, s.Vocabulary, s.Layers, s.Heads, s.Width, padded];
        told.CopyTo(head, 0);
        file.Write(MemoryMarshal.AsBytes<int>(head));
        void Put(string name, bool transposed)
        {
            Parameter p = parameters["transformer." + name];
            ReadOnlySpan<float> values = p.Value.AsReadOnlySpan<float>();
            file.Write(MemoryMarshal.AsBytes(transposed ? Transposed(values, p.Shape[1]) : values));
        }

        Put("wte.weight", false);
        file.Write(new byte[(padded - s.Vocabulary) * s.Width * sizeof(float)]);
        Put("wpe.weight", false);
        foreach ((string name, bool transposed) in s_layer)
        {
            for (int layer = 0; layer < s.Layers; layer++)
            {
                Put($"h.{layer}.{name}", transposed);
            }
        }

        Put("ln_f.weight", false);
        Put("ln_f.bias", false);
    }

    private static float[] Transposed(ReadOnlySpan<float> matrix, int columns)
    {
        float[] result = new float[matrix.Length];
        int rows = matrix.Length / columns;
        for (int i = 0; i < matrix.Length; i++)
        {
            result[(i % columns * rows) + (i / columns)] = matrix[i];
        }

        return result;
    }
}
