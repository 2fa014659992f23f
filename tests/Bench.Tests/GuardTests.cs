using Graft.Bench.Report;

namespace Graft.Bench.Tests;

/// <summary>What counts as a fall between two result files.</summary>
public sealed class GuardTests
{
    [Test]
    public void A_ratio_that_fell_by_more_than_a_tenth_is_reported_whatever_the_absolute_times()
    {
        IReadOnlyList<Fall> falls = Guard.Compare(Results.File(Results.Row(ours: 100, theirs: 200)), Results.File(Results.Row(ours: 60, theirs: 100)));
        Assert.That(falls.Select(f => f.ToString()), Is.EqualTo(new[] { "gpt2: step: ratio to TorchSharp 2 before, 1.67 now (-17 %)" }));
    }

    [TestCase(106, 200)]
    [TestCase(300, 600)]
    [TestCase(50, 200)]
    public void Less_than_a_tenth_a_slower_machine_and_a_gain_are_no_falls(double ours, double theirs)
    {
        Assert.That(Guard.Compare(Results.File(Results.Row()), Results.File(Results.Row(ours: ours, theirs: theirs))), Is.Empty);
    }

    [Test]
    public void A_row_without_a_peer_is_held_against_the_machine_it_ran_on()
    {
        // 4 MB in 0.2 ms is 20 GB/s: half of a copy of 40 GB/s, and all of one of 20 GB/s.
        BenchRow row = Results.Row(ours: 0.2, theirs: null) with { Bytes = 4e6 };
        Assert.That(Guard.Compare(Results.File(Results.Limits with { CopyAllCores = 20 }, row), Results.File(row)), Has.One.Items);
        Assert.That(Guard.Compare(Results.File(row), Results.File(Results.Limits with { CopyAllCores = 20 }, row)), Is.Empty);
    }

    [Test]
    public void A_row_that_tells_neither_bytes_nor_operations_is_held_against_the_arithmetic_peak()
    {
        BenchRow before = Results.Row(unit: "tokens/s", ours: 100, theirs: null), slower = before with { Ours = 60 };
        Assert.That(Guard.Compare(Results.File(before), Results.File(Results.Limits with { PeakAllCores = 120 }, slower)), Is.Empty, "a machine of 60 %");
        Assert.That(Guard.Compare(Results.File(before), Results.File(slower)), Has.One.Items);
    }

    [Test]
    public void Memory_without_a_peer_is_held_against_itself()
    {
        BenchRow row = Results.Row(unit: "MiB", ours: 100, theirs: null);
        Assert.That(Guard.Compare(Results.File(row), Results.File(Results.Limits with { PeakAllCores = 10 }, row with { Ours = 130 })), Has.One.Items);
    }

    [Test]
    public void Rows_of_another_peer_or_measure_and_the_machine_itself_are_not_compared()
    {
        BenchRow row = Results.Row();
        BenchRow machine = Results.Row("machine: read, one core", "GB/s", 100, null);
        Assert.That(Guard.Compare(Results.File(row, machine), Results.File(row with { Peer = "llm.c", Ours = 500 }, machine with { Ours = 10 })), Is.Empty);
        Assert.That(Guard.Compare(Results.File(row), Results.File(Results.Row(ours: 500, theirs: null))), Is.Empty, "the peer is gone");
        Assert.That(Guard.Compare(Results.File(), Results.File(row)), Is.Empty, "a new row");
    }

    [Test]
    public void The_newest_file_of_the_same_machine_kind_is_the_baseline()
    {
        string[] committed =
        [
            "bench/results/2026-11-24-amd-epyc-2x512.json", "bench/results/2026-11-28-amd-epyc-2x512.json", "bench/results/2026-11-28-amd-epyc-2x512.md",
            "bench/results/2026-11-30-amd-epyc-2x256.json", "bench/results/2026-11-30-new-amd-epyc-2x512.json",
        ];
        Assert.That(Baseline.Newest(committed, "amd-epyc-2x512"), Is.EqualTo(committed[1]));
        Assert.That(Baseline.Newest(committed, "intel-2x512"), Is.Null);
    }
}
