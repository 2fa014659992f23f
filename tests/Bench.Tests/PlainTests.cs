using Graft.Bench.Kernels.Plain;
using Graft.Runtime;

namespace Graft.Bench.Tests;

/// <summary>The plain versions of kernels compute what today's do.</summary>
public sealed class PlainTests
{
    private static IEnumerable<TestCaseData> Rows => PlainTable.Rows(quick: true).Select(row => new TestCaseData(row).SetArgDisplayNames(row.Name));

    [TestCaseSource(nameof(Rows))]
    public void Todays_kernel_and_its_plain_version_agree(object row)
    {
        PlainRow given = (PlainRow)row;
        using CpuDevice device = new(2);
        using PlainPair pair = new(device, given);
        Assert.That(pair.Difference(), Is.LessThan(given.Tolerance), "first run");
        Assert.That(pair.Difference(), Is.LessThan(given.Tolerance), "second run");
    }

    [Test]
    public void A_difference_is_found_and_NaN_never_agrees()
    {
        Assert.That(Difference(2, 2.5f), Is.EqualTo(0.2).Within(1e-9));
        Assert.That(Difference(2, float.NaN), Is.EqualTo(double.PositiveInfinity));
        Assert.That(Difference(float.NaN, float.NaN), Is.EqualTo(double.PositiveInfinity));
    }

    private static double Difference(float today, float plain)
    {
        using CpuDevice device = new(1);
        using PlainPair pair = new(device, new PlainRow("one number", _ => new(t => [Of(t, today)], t => [Of(t, plain)])));
        return pair.Difference();
    }

    private static Tensor Of(Tape tape, float value) => tape.Arena.Create(new Shape(1), [value], MemoryCategory.Activations);
}
