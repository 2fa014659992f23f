using Graft.Runtime.Tests.Cuda;
using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Tables;

/// <summary>
/// Every row on the emulated device in checked mode: no access outside of a tensor, none of bytes that were never written, no race within or between blocks, in two orders
/// of blocks and threads; and the bits of fast mode.
/// </summary>
[Category("CudaEmulator")]
public class OpCheckedTests
{
    private CudaDevice _device = null!;

    [OneTimeSetUp]
    public void Open()
    {
        CudaTestDevice.Require();
        if (CudaTestDevice.IsGpu)
        {
            Assert.Ignore("checked mode is the emulator's; on a card compute-sanitizer does its work");
        }

        EmulatedDriver.Set("checked", "1");
        _device = CudaTestDevice.Open(guardBlocks: true);
    }

    [OneTimeTearDown]
    public void Close()
    {
        _device?.Dispose();
        if (!CudaTestDevice.IsGpu)
        {
            EmulatedDriver.Set("schedule", "forward");
            EmulatedDriver.Set("checked", "0");
        }
    }

    // A fault of one row is not the next one's.
    [TearDown]
    public void Forget() => EmulatedDriver.Reset();

    private static IEnumerable<TestCaseData> All() => OpTable.Cases(r => r.OnCuda);

    [TestCaseSource(nameof(All))]
    public void Touches_only_what_is_its_own(object of)
    {
        Row row = (Row)of;
        long before = EmulatedDriver.CheckedAccesses(), launches = EmulatedDriver.Launches();
        HalfInputs[] kinds = row.GivenOf(0).Type == DType.F32 ? [HalfInputs.None, HalfInputs.First] : [HalfInputs.None];
        foreach (string shapes in row.Shapes)
        {
            foreach (HalfInputs half in kinds)
            {
                List<double[]>? first = null;
                foreach (string schedule in (string[])["forward", "reverse"])
                {
                    EmulatedDriver.Set("schedule", schedule);
                    if (Run(row, shapes, half, schedule) is not { } results)
                    {
                        continue;
                    }

                    first ??= results;
                    for (int i = 0; i < results.Count; i++)
                    {
                        Worst.Within(results[i], first[i], 0, 0, $"{row.Label} {shapes} {half}: result {i}, {schedule}");
                    }
                }
            }
        }

        // A row of empty tensors or of copies by the driver launches nothing.
        Assert.That(EmulatedDriver.CheckedAccesses() > before || EmulatedDriver.Launches() == launches, Is.True, "kernels ran and nothing was checked: they were loaded without hooks");
    }

    /// <summary>Null where the op refuses BF16 for its first input alone.</summary>
    private List<double[]>? Run(Row row, string shapes, HalfInputs half, string schedule)
    {
        try
        {
            using OpRun run = new(row, shapes, _device, half: half);
            return run.Results();
        }
        catch (DTypeException) when (half != HalfInputs.None)
        {
            return null;
        }
        catch (CudaException e)
        {
            throw new AssertionException($"{row.Label} {shapes} {half}, {schedule}: {EmulatedDriver.Report()}", e);
        }
    }
}
