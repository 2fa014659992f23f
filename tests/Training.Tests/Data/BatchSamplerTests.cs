using CsCheck;
using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training.Tests.Data;

public sealed class BatchSamplerTests
{
    private static readonly Gen<(TokenSampleList Samples, BatchOptions Options, ulong Seed)> s_cases =
        from lengths in Gen.Int[1, 12].Array[1, 60]
        from mode in Gen.Enum<PackingMode>()
        from rows in Gen.Int[1, 5]
        from spare in Gen.Int[0, 20]
        from window in Gen.Int[1, 30]
        from multiple in Gen.Int[0, 4]
        from seed in Gen.ULong
        select (Make(lengths, seed), new BatchOptions
        {
            Rows = rows,
            Length = Math.Max(2, lengths.Max() + spare),
            Packing = mode,
            Window = window,
            PadToken = -7,
            PadToMultipleOf = multiple
        }, seed);

    [Test]
    public void An_epoch_holds_every_token_of_every_sample_once_and_nothing_else()
    {
        s_cases.Sample(
            c =>
            {
                BatchSampler sampler = new(c.Samples, c.Options, SampleOrder.Shuffled(c.Samples.Count, new Rng(c.Seed)));
                long[] seen = new long[c.Samples.Count];
                long batches = 0;
                Batch batch;
                do
                {
                    batch = sampler.Next();
                    batches++;
                    CheckBatch(batch, c.Samples);
                    foreach (BatchSegment segment in batch.Segments)
                    {
                        seen[segment.Sample]++;
                    }
                }
                while (!batch.EndsEpoch);
                Assert.That(seen, Is.All.EqualTo(1));
                Assert.That(sampler.CountBatches(), Is.EqualTo(batches));
                Assert.That(sampler.Position, Is.EqualTo(new DataPosition(1, 0, 0)));
            },
            iter: 300);
    }

    [Test]
    public void A_restored_position_gives_the_same_batches()
    {
        s_cases.Sample(
            c =>
            {
                BatchSampler whole = new(c.Samples, c.Options, SampleOrder.Shuffled(c.Samples.Count, new Rng(c.Seed)));
                for (int i = 0; i < 25; i++)
                {
                    DataPosition at = whole.Position;
                    Batch expected = whole.Next();
                    BatchSampler resumed = new(c.Samples, c.Options, SampleOrder.Shuffled(c.Samples.Count, new Rng(c.Seed))) { Position = at };
                    Batch actual = resumed.Next();
                    Assert.That(actual.Segments, Is.EqualTo(expected.Segments));
                    Assert.That(actual.Ids.AsSpan().SequenceEqual(expected.Ids) && actual.Targets.AsSpan().SequenceEqual(expected.Targets), Is.True);
                    Assert.That((resumed.Position, actual.Epoch, actual.EndsEpoch), Is.EqualTo((whole.Position, expected.Epoch, expected.EndsEpoch)));
                }
            },
            iter: 60);
    }

    [Test]
    public void Rows_hold_no_more_than_they_can_and_every_sample_once()
    {
        Gen.Select(Gen.Int[1, 20].Array[0, 200], Gen.Int[20, 40], Gen.Enum<PackingMode>()).Sample(
            (lengths, rowLength, mode) =>
            {
                List<List<int>> rows = Packer.Pack(lengths, rowLength, mode);
                Assert.That(rows.SelectMany(r => r).Order(), Is.EqualTo(Enumerable.Range(0, lengths.Length)));
                Assert.That(rows.Select(r => r.Sum(i => lengths[i])), Is.All.LessThanOrEqualTo(rowLength));
                if (mode == PackingMode.FirstFitDecreasing && rows.Count > 0)
                {
                    // At most one row is half empty or more, else two would have become one.
                    Assert.That(rows.Count(r => 2 * r.Sum(i => lengths[i]) <= rowLength), Is.LessThanOrEqualTo(1));
                }
            },
            iter: 300);
    }

    [Test]
    public void First_fit_decreasing_packs_tighter_than_rows_in_order()
    {
        int[] lengths = [.. Enumerable.Range(0, 1024).Select(i => 20 + new Rng(3).Below(i, 80))];
        int best = (lengths.Sum() + 127) / 128;
        int tight = Packer.Pack(lengths, 128, PackingMode.FirstFitDecreasing).Count;
        int loose = Packer.Pack(lengths, 128, PackingMode.Greedy).Count;
        Assert.That(tight, Is.LessThanOrEqualTo(best * 1.03).And.LessThan(loose));
    }

    [Test]
    public void Documents_in_one_row_are_kept_apart()
    {
        TokenSampleList samples = new();
        samples.Add(5, [10, 11, 12], [0, 0, 1]);
        samples.Add(6, [20, 21], [1, 1]);
        Batch batch = new BatchSampler(samples, new BatchOptions { Rows = 2, Length = 7, PadToken = 9 }, SampleOrder.Sequential(2)).Next();
        const int None = Batch.IgnoredTarget;
        Assert.That(batch.Ids, Is.EqualTo(new[] { 10, 11, 12, 20, 21, 9, 9, 9, 9, 9, 9, 9, 9, 9 }));
        Assert.That(batch.Targets, Is.EqualTo(new[] { None, 12, None, 21, None, None, None, None, None, None, None, None, None, None }));
        Assert.That(batch.Positions[..7], Is.EqualTo(new[] { 0, 1, 2, 0, 1, 0, 0 }));
        Assert.That(batch.Documents, Is.EqualTo(new[] { 0, 3, 0, 3, 0, 3, 3, 5, 3, 5, 5, 6, 6, 7, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7 }));
        Assert.That(batch.Segments, Is.EqualTo(new BatchSegment[] { new(0, 0, 3, 0, 5), new(0, 3, 2, 1, 6) }));
        Assert.That((batch.TargetCount, batch.TokenCount, batch.FilledRows, batch.EndsEpoch), Is.EqualTo((2L, 5L, 1, true)));
    }

    [Test]
    public void Epochs_are_shuffled_differently_and_seeds_too()
    {
        TokenSampleList samples = Make([.. Enumerable.Repeat(3, 50)], 1);
        BatchOptions options = new() { Rows = 50, Length = 3 };
        BatchSampler one = new(samples, options, SampleOrder.Shuffled(50, new Rng(1)));
        BatchSampler two = new(samples, options, SampleOrder.Shuffled(50, new Rng(2)));
        long[][] orders = [.. new[] { one.Next(), one.Next(), two.Next() }.Select(b => b.Segments.Select(s => s.Sample).ToArray())];
        Assert.That(orders[0], Is.Not.EqualTo(orders[1]));
        Assert.That(orders[0], Is.Not.EqualTo(orders[2]));
        Assert.That(orders, Is.All.EquivalentTo(Enumerable.Range(0, 50).Select(i => (long)i)));
    }

    [Test]
    public void Evaluation_takes_the_first_samples_once_and_moves_nothing()
    {
        TokenSampleList samples = Make([.. Enumerable.Range(0, 40).Select(i => 1 + (i % 7))], 1);
        BatchSampler sampler = new(samples, new BatchOptions { Rows = 2, Length = 16 }, SampleOrder.Shuffled(40, new Rng(1)));
        sampler.Next();
        DataPosition before = sampler.Position;
        Assert.That(sampler.Take(25).SelectMany(b => b.Segments).Select(s => s.Sample).Order(), Is.EqualTo(Enumerable.Range(0, 25)));
        Assert.That(sampler.Take(1000).SelectMany(b => b.Segments).Count(), Is.EqualTo(40));
        Assert.That(sampler.Position, Is.EqualTo(before));
    }

    [Test]
    public void Weights_decide_how_often_a_sample_comes()
    {
        double[] weights = [0, 1, 0, 3, 6, 0];
        long[] draws = new long[10_000];
        ISampleOrder order = SampleOrder.Weighted(weights, new Rng(5), draws.Length);
        order.Fill(2, 0, draws);
        for (int i = 0; i < weights.Length; i++)
        {
            double expected = weights[i] / 10;
            double deviation = Math.Sqrt(expected * (1 - expected) / draws.Length);
            Assert.That(draws.Count(d => d == i) / (double)draws.Length, Is.EqualTo(expected).Within(5 * deviation), $"sample {i}");
        }

        long[] part = new long[7];
        order.Fill(2, 100, part);
        Assert.That(part, Is.EqualTo(draws[100..107]));
    }

    [Test]
    public void Lists_of_indices_and_ids_choose_samples()
    {
        TokenSampleList samples = Make([2, 2, 2, 2], 1);
        BatchOptions options = new() { Rows = 3, Length = 2 };
        Assert.That(new BatchSampler(samples, options, SampleOrder.List([3, 0, 3])).Next().Segments.Select(s => s.Sample), Is.EqualTo(new[] { 3L, 0, 3 }));
        ISampleOrder byId = SampleOrder.Ids(samples, [samples.SampleId(2), samples.SampleId(1)]);
        Assert.That(new BatchSampler(samples, options, byId).Next().Segments.Select(s => s.Sample), Is.EqualTo(new[] { 2L, 1 }));
        Assert.That(() => SampleOrder.Ids(samples, [0xABCD]), Throws.TypeOf<ConfigurationException>().With.Message.Contains("000000000000abcd"));
    }

    [Test]
    public void Impossible_settings_are_refused()
    {
        TokenSampleList samples = Make([9], 1);
        ISampleOrder order = SampleOrder.Sequential(1);
        Assert.That(() => new BatchSampler(samples, new() { Length = 8 }, order), Throws.TypeOf<ConfigurationException>()
            .With.Message.Contains("longest sample has 9 tokens and a row 8"));
        Assert.That(() => new BatchSampler(samples, new() { Rows = 0 }, order), Throws.TypeOf<ConfigurationException>().With.Message.Contains("0 rows"));
        Assert.That(() => new BatchSampler(new TokenSampleList(), new(), order), Throws.TypeOf<ConfigurationException>().With.Message.Contains("no samples"));
        Assert.That(() => SampleOrder.Weighted([1, -1], new Rng(1)), Throws.TypeOf<ConfigurationException>().With.Message.Contains("sample 1 is -1"));
        Assert.That(() => SampleOrder.Weighted([0, 0], new Rng(1)), Throws.TypeOf<ConfigurationException>().With.Message.Contains("at least one"));
        Assert.That(() => new BatchSampler(samples, new(), order).Position = new DataPosition(0, 1, 0), Throws.TypeOf<ArgumentOutOfRangeException>()
            .With.Message.Contains("other data"));
    }

    /// <summary>Everything a batch promises, computed anew from its segments.</summary>
    private static void CheckBatch(Batch batch, TokenSampleList samples)
    {
        bool[] covered = new bool[batch.Ids.Length];
        long targets = 0;
        foreach (BatchSegment segment in batch.Segments)
        {
            ReadOnlySpan<int> ids = samples.Ids(segment.Sample);
            ReadOnlySpan<byte> mask = samples.LossMask(segment.Sample);
            Assert.That((segment.Length, segment.SampleId), Is.EqualTo((ids.Length, samples.SampleId(segment.Sample))));
            for (int i = 0; i < ids.Length; i++)
            {
                int at = (segment.Row * batch.Length) + segment.Start + i;
                Assert.That(covered[at], Is.False, "samples overlap");
                covered[at] = true;
                int expected = i + 1 < ids.Length && mask[i + 1] == 1 ? ids[i + 1] : Batch.IgnoredTarget;
                targets += expected == Batch.IgnoredTarget ? 0 : 1;
                Assert.That((batch.Ids[at], batch.Targets[at], batch.Positions[at]), Is.EqualTo((ids[i], expected, i)));
                Assert.That((batch.Documents[2 * at], batch.Documents[(2 * at) + 1]), Is.EqualTo((segment.Start, segment.Start + ids.Length)));
            }
        }

        Assert.That((batch.TargetCount, batch.TokenCount), Is.EqualTo((targets, (long)covered.Count(c => c))));
        for (int at = 0; at < covered.Length; at++)
        {
            if (!covered[at])
            {
                int place = at % batch.Length;
                Assert.That((batch.Ids[at], batch.Targets[at], batch.Positions[at], batch.Documents[2 * at], batch.Documents[(2 * at) + 1]),
                    Is.EqualTo((-7, Batch.IgnoredTarget, 0, place, place + 1)));
            }
        }
    }

    private static TokenSampleList Make(int[] lengths, ulong seed)
    {
        TokenSampleList samples = new();
        Rng rng = new(seed);
        for (int i = 0; i < lengths.Length; i++)
        {
            int[] ids = [.. Enumerable.Range(0, lengths[i]).Select(t => (100 * i) + t)];
            byte[] mask = [.. Enumerable.Range(0, lengths[i]).Select(t => (byte)rng.Below((100 * i) + t, 2))];
            samples.Add(1000UL + (ulong)i, ids, mask);
        }

        return samples;
    }
}
