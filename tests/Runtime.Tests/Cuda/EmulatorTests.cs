using System.Diagnostics;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>The emulated driver itself: broken kernels must be found, right ones must not be reported, and the driver keeps its promises to the host.</summary>
/// <remarks>Each check is a process of its own, so that whatever it breaks does not take the others with it. The files of tests/CudaEmulator/mutants say what is expected.</remarks>
[TestFixture]
[Category("CudaEmulator")]
public sealed class EmulatorTests
{
    private const int TimeoutMilliseconds = 120_000;

    private static readonly Kernel s_writeNull = new("emulator_tests", "write_null");

    private static string Sources => Path.Combine(FixtureFolder.Repository ?? ".", "tests", "CudaEmulator");

    private static IEnumerable<string> Mutants() => Directory.Exists(Path.Combine(Sources, "mutants"))
        ? Directory.EnumerateFiles(Path.Combine(Sources, "mutants"), "*.cu").Select(f => Path.GetFileNameWithoutExtension(f)).Order(StringComparer.Ordinal)
        : [];

    [OneTimeSetUp]
    public void Build()
    {
        CudaTestDevice.Require();
        if (CudaTestDevice.IsGpu)
        {
            Assert.Ignore("these are checks of the emulator; on a card compute-sanitizer does its work");
        }
    }

    [Test]
    public void There_are_at_least_two_dozen_broken_kernels() => Assert.That(Mutants().Count(), Is.GreaterThanOrEqualTo(24));

    [TestCaseSource(nameof(Mutants))]
    public void Finds_the_broken_kernel_and_only_that(string name)
        => Run("mutants", Path.Combine(FixtureFolder.Repository!, "src", "Kernels", "cu"), Path.Combine(Sources, "mutants", name + ".cu"));

    [TestCase("memory")]
    [TestCase("faults")]
    [TestCase("limits")]
    [TestCase("compiler")]
    [TestCase("graphs")]
    [TestCase("lazy")]
    [TestCase("two_devices")]
    [TestCase("products")]
    [TestCase("names")]
    public void The_driver_keeps_its_promise_about(string section) => Run("host", section);

    [Test]
    public void Faults_of_the_host_stay_exceptions_after_a_kernel_has_faulted()
    {
        for (int i = 0; i < 3; i++)
        {
            using (CudaDevice device = CudaTestDevice.Open())
            {
                device.AddKernels("emulator_tests", "extern \"C\" __global__ void write_null(int* x) { *x = 1; }");
                CudaException? fault = Assert.Catch<CudaException>(() =>
                {
                    device.Launch(s_writeNull, new LaunchShape(1, 32), 0L);
                    device.Synchronize();
                });
                Assert.That(fault!.Message, Does.Contain("ILLEGAL_ADDRESS"));
                Assert.That(() => Length(null!), Throws.InstanceOf<NullReferenceException>());
                GC.Collect();
            }

            EmulatedDriver.Reset();
        }

        static int Length(string text) => text.Length;
    }

    private static void Run(string program, params string[] arguments)
    {
        ProcessStartInfo start = new(Path.Combine(CudaTestDevice.EmulatorFolder, program), arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string variable in start.Environment.Keys.Where(k => k.StartsWith("GRAFT_EMU_", StringComparison.Ordinal)).ToArray())
        {
            _ = start.Environment.Remove(variable); // the programs set their modes themselves
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(TimeoutMilliseconds))
        {
            process.Kill();
            Assert.Fail($"{program} {string.Join(' ', arguments)} hangs.\n{output.Result}");
        }

        Assert.That(process.ExitCode, Is.Zero, $"{program} {string.Join(' ', arguments)}\n{output.Result}\n{errors.Result}");
        TestContext.Out.WriteLine(output.Result);
    }
}
