using CsCheck;
using Graft.Training.Runs;

namespace Graft.Training.Tests.Runs;

public sealed class EditDistanceTests
{
    [TestCase("", "", 0)]
    [TestCase("rank", "rank", 0)]
    [TestCase("rnak", "rank", 1)]
    [TestCase("ran", "rank", 1)]
    [TestCase("kitten", "sitting", 3)]
    [TestCase("", "abc", 3)]
    public void Known_distances_are_found(string a, string b, int distance) => Assert.That(EditDistance.Between(a, b), Is.EqualTo(distance));

    [Test]
    public void Distance_is_symmetric_and_bounded_by_the_lengths()
    {
        Gen.Select(Gen.String[Gen.Char['a', 'd'], 0, 8], Gen.String[Gen.Char['a', 'd'], 0, 8]).Sample((a, b) =>
        {
            int distance = EditDistance.Between(a, b);
            return distance == EditDistance.Between(b, a) && distance <= Math.Max(a.Length, b.Length) && distance >= Math.Abs(a.Length - b.Length)
                && (distance == 0) == (a == b);
        });
    }
}
