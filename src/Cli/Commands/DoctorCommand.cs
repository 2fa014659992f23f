using System.CommandLine;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using Graft.Cli.Output;
using Graft.Runtime;

namespace Graft.Cli.Commands;

/// <summary>`graft doctor`: what this machine offers, and what each feature would need.</summary>
internal static class DoctorCommand
{
    public static Command Create(ToolConsole console)
    {
        Option<bool> json = CommonOptions.Json();
        Command command = new("doctor", "Shows what the machine offers and what is missing for which feature.") { json };
        command.SetAction(parsed =>
        {
            (string Name, string Value)[] facts = Facts();
            (string Name, string Value)[] cuda = CudaFacts.Read();
            (string Name, bool Ok, string Text)[] features = Features();
            if (parsed.GetValue(json))
            {
                foreach ((string name, string value) in facts.Concat(cuda))
                {
                    JsonLines.Write(console.Out, "fact", line =>
                    {
                        line.WriteString("name", name);
                        line.WriteString("value", value);
                    });
                }

                foreach ((string name, bool ok, string text) in features)
                {
                    JsonLines.Write(console.Out, "feature", line =>
                    {
                        line.WriteString("name", name);
                        line.WriteBoolean("ok", ok);
                        line.WriteString("text", text);
                    });
                }
            }
            else
            {
                console.Out.WriteLine(Words.Table(["machine", ""], facts.Select(f => new[] { f.Name, f.Value })));
                console.Out.WriteLine(Words.Table(["CUDA", ""], cuda.Select(f => new[] { f.Name, f.Value })));
                console.Out.WriteLine(Words.Table(["feature", "", ""], features.Select(f => new[] { f.Name, f.Ok ? "yes" : "no", f.Text })));
            }

            return ExitCode.Ok;
        });
        return command;
    }

    private static (string Name, string Value)[] Facts()
    {
        string folder = Environment.CurrentDirectory;
        return
        [
            ("processor", Processor()),
            ("instruction sets", string.Join(", ", InstructionSets())),
            ("threads", Environment.ProcessorCount.ToString(System.Globalization.CultureInfo.InvariantCulture)),
            ("memory", Words.Bytes(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes)),
            ("disk", $"{Words.Bytes(new DriveInfo(Path.GetFullPath(folder)).AvailableFreeSpace)} free at {folder}"),
            ("system", $"{RuntimeInformation.OSDescription}, {RuntimeInformation.OSArchitecture}"),
            (".net", RuntimeInformation.FrameworkDescription),
            ("graft", typeof(Tensor).Assembly.GetName().Version?.ToString(3) ?? ""),
        ];
    }

    private static (string Name, bool Ok, string Text)[] Features()
    {
        int width = System.Runtime.Intrinsics.Vector512.IsHardwareAccelerated ? 512
            : System.Runtime.Intrinsics.Vector256.IsHardwareAccelerated ? 256
            : System.Runtime.Intrinsics.Vector128.IsHardwareAccelerated ? 128 : 0;
        string? png = CurvePng.Unavailable();
        return
        [
            ("training on the CPU", true, width > 0 ? $"vectors of {width} bits" : "no vectors: the scalar path, slow but the same results within rounding"),
            ("fast matrix products", width >= 256, width >= 256 ? "fused multiply-add on wide vectors" : "needs AVX2 or AVX-512"),
            ("BF16 base weights", true, "widened while they are read; half the memory of F32"),
            ("curves as PNG", png is null, png ?? "Skia loads"),
            ("curves as SVG", true, "needs nothing"),
            CudaFacts.Feature(),
        ];
    }

    private static IEnumerable<string> InstructionSets()
    {
        (string Name, bool Has)[] sets =
        [
            ("SSE4.2", Sse42.IsSupported), ("AVX", Avx.IsSupported), ("AVX2", Avx2.IsSupported), ("FMA", Fma.IsSupported),
            ("AVX-512F", Avx512F.IsSupported), ("AVX-512BW", Avx512BW.IsSupported), ("AVX-512DQ", Avx512DQ.IsSupported), ("AVX-VNNI", AvxVnni.IsSupported),
            ("NEON", AdvSimd.IsSupported), ("DotProd", Dp.IsSupported),
        ];
        return sets.Where(s => s.Has).Select(s => s.Name).DefaultIfEmpty("none");
    }

    private static string Processor()
    {
        const string Key = "model name";
        string? line = File.Exists("/proc/cpuinfo") ? File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith(Key, StringComparison.Ordinal)) : null;
        return line is not null ? line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim()
            : Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? RuntimeInformation.ProcessArchitecture.ToString();
    }
}
