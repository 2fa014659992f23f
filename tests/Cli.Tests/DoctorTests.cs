using System.Diagnostics;
using System.Text.Json;
using Graft.Runtime;

namespace Graft.Cli.Tests;

/// <summary>What `graft doctor` says of CUDA. In processes of their own, since a process looks for its libraries once.</summary>
public sealed class DoctorTests
{
    [Test]
    public async Task Doctor_says_of_each_library_where_it_was_looked_for_and_what_to_install()
    {
        using TemporaryFolder folder = new();
        foreach (string name in new[] { "libcuda.so.1", "libnvrtc.so.12", "libcublasLt.so.12", "libnccl.so.2" })
        {
            _ = folder.File(name, "no library");
        }

        string file = folder.File("file", "");
        Dictionary<string, string> said = await Ask(("GRAFT_CUDA_PATH", folder.Path), ("GRAFT_CACHE", Path.Combine(file, "below")));
        foreach ((string library, string name) in new[] { ("driver", "libcuda.so.1"), ("NVRTC", "libnvrtc.so.12"), ("cuBLASLt", "libcublasLt.so.12"), ("NCCL", "libnccl.so.2") })
        {
            Assert.That(said[library], Does.Contain(Path.Combine(folder.Path, name)).And.Contain("nstall").And.Contain("GRAFT_CUDA_PATH"), library);
        }

        Assert.That(said["cards"], Is.EqualTo("none"));
        Assert.That(said["kernel cache"], Does.Contain(file).And.Contain("GRAFT_CACHE"), "a folder that cannot be written is told");
        Assert.That(said["CUDA"], Does.StartWith("False no NVIDIA driver"));
    }

    [Test]
    [Category("CudaEmulator")]
    public async Task Doctor_calls_the_emulator_an_emulator_and_never_a_gpu()
    {
        if (CudaTestDevice.IsGpu)
        {
            Assert.Ignore("this run has a card in place of the emulator");
        }

        CudaTestDevice.Require();
        using TemporaryFolder folder = new();
        Dictionary<string, string> said = await Ask(("GRAFT_CUDA_PATH", CudaTestDevice.EmulatorFolder), ("GRAFT_CACHE", folder.Path), ("GRAFT_EMU_DEVICES", "2"));
        Assert.That(said.Keys, Does.Contain("emulator 0").And.Contain("emulator 1").And.Not.Contain("card 0").And.Not.Contain("cards"));
        Assert.That(said["emulator 0"], Does.Contain("emulated driver"));
        Assert.That(said["driver"], Does.Contain(CudaTestDevice.EmulatorFolder).And.StartWith("CUDA 12.").And.EndWith("emulated, without a GPU"));
        Assert.That(said["NVRTC"], Does.Contain("sm_80").And.Contain("sm_90"));
        Assert.That(said["kernel cache"], Is.EqualTo($"{Path.Combine(folder.Path, "kernels")}, 0 files, 0 B"));
        Assert.That(said["CUDA"], Does.StartWith("False no GPU").And.Contain("emulator"));
    }

    [Test]
    public async Task Doctor_agrees_with_what_the_runtime_says()
    {
        ToolRun run = await ToolRun.Of("doctor", "--json");
        JsonElement cuda = run.Lines.Single(l => l.GetProperty("event").GetString() == "feature" && l.GetProperty("name").GetString() == "CUDA");
        Assert.That(cuda.GetProperty("ok").GetBoolean(), Is.EqualTo(Cuda.IsAvailable && Cuda.Devices.All(d => !d.IsEmulator)));
        Assert.That(Cuda.Libraries.Select(l => l.Name), Is.EqualTo(new[] { "driver", "NVRTC", "cuBLASLt", "NCCL" }));
        Assert.That(Cuda.Libraries, Has.All.Matches<CudaLibraryInfo>(l => (l.Path is null) == (l.Missing is not null) && l.Tried.Count > 0));
        if (Cuda.Unavailable is { } why)
        {
            Assert.That(why, Does.EndWith(cuda.GetProperty("text").GetString()!));
        }
    }

    /// <summary>Facts by name, and features as "True text".</summary>
    private static async Task<Dictionary<string, string>> Ask(params (string Name, string Value)[] environment)
    {
        ProcessStartInfo start = new("dotnet", [Path.Combine(AppContext.BaseDirectory, "graft.dll"), "doctor", "--json"]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.That(process.ExitCode, Is.Zero, output + await error);
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonDocument.Parse(l).RootElement).ToDictionary(
            l => l.GetProperty("name").GetString()!,
            l => l.TryGetProperty("value", out JsonElement value) ? value.GetString()! : $"{l.GetProperty("ok").GetBoolean()} {l.GetProperty("text").GetString()}");
    }
}
