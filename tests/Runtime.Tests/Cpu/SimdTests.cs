using System.Diagnostics;
using System.Globalization;
using System.Runtime.Intrinsics.X86;

namespace Graft.Runtime.Tests.Cpu;

/// <summary>The kernels again in child processes in which the runtime may not use parts of the instruction set.</summary>
[TestFixture]
[Category("Simd")]
public sealed class SimdTests
{
    [TestCase("DOTNET_EnableAVX512", 8)]
    [TestCase("DOTNET_EnableAVX2", 4)]
    [TestCase("DOTNET_EnableHWIntrinsic", 1)]
    public void Kernels_are_right_without(string feature, int width)
    {
        if (!Sse2.IsSupported || (width == 8 && !Avx2.IsSupported))
        {
            Assert.Ignore($"{feature} switches nothing off on this processor");
        }

        string host = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        ProcessStartInfo start = new(host) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in (string[])["exec", typeof(SimdTests).Assembly.Location, "--simd", width.ToString(CultureInfo.InvariantCulture)])
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment[feature] = "0";
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        if (!process.WaitForExit(120_000))
        {
            process.Kill();
            Assert.Fail($"no end after two minutes:\n{output}");
        }

        TestContext.Out.WriteLine(output);
        Assert.That(process.ExitCode, Is.Zero, $"{output}\n{errors.Result}");
        Assert.That(output, Does.Contain($"width {width} ").And.Contain("passed attention").And.Contain("passed matrix products"));
    }
}
