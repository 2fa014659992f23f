using Graft.Bench.Works;

namespace Graft.Bench.Tests;

/// <summary>The distance of costs from a line.</summary>
public sealed class GrowthTests
{
    [Test]
    public void Costs_on_a_line_with_a_constant_part_do_not_deviate()
    {
        Assert.That(Growth.Deviation([1, 2, 4, 8], [7, 9, 13, 21]), Is.EqualTo(0).Within(1e-12));
    }

    [Test]
    public void A_cost_that_grows_with_the_square_deviates()
    {
        Assert.That(Growth.Deviation([1, 2, 4, 8], [1, 4, 16, 64]), Is.GreaterThan(0.5));
    }

    [Test]
    public void One_cost_off_by_a_tenth_shows_a_part_of_it()
    {
        Assert.That(Growth.Deviation([1, 2, 4, 8], [10, 20, 44, 80]), Is.InRange(0.03, 0.1));
    }
}
