using System.Runtime.InteropServices;
using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training.Tests.Data;

public sealed class TokenizedDatasetTests
{
    private string _folder = string.Empty;

    private string Data => Path.Combine(_folder, "train.jsonl");

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("graft-data-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, true);

    [Test]
    public void Samples_come_back_in_their_order_whatever_the_number_of_threads()
    {
        WritePairs(3000);
        using TokenizedDataset one = Open(o => o with { Threads = 1, CacheFolder = Path.Combine(_folder, "one") });
        using TokenizedDataset many = Open(o => o with { Threads = 7, CacheFolder = Path.Combine(_folder, "many") });
        Assert.That(File.ReadAllBytes(many.CachePath).AsSpan().SequenceEqual(File.ReadAllBytes(one.CachePath)), Is.True);
        Assert.That(many.Count, Is.EqualTo(3000));
        var framer = new SampleFramer(new LetterEncoder(), new());
        List<int> ids = [];
        List<byte> mask = [];
        long tokens = 0;
        long loss = 0;
        long at = 0;
        foreach (DataSample sample in JsonlReader.Read(Data))
        {
            framer.Frame(sample, ids, mask);
            Assert.That(many.Ids(at).SequenceEqual(CollectionsMarshal.AsSpan(ids)) && many.LossMask(at).SequenceEqual(CollectionsMarshal.AsSpan(mask)),
                Is.True, $"sample {at}");
            tokens += ids.Count;
            loss += mask.Skip(1).Sum(m => m);
            at++;
        }

        Assert.That(many.Counts, Is.EqualTo(new TokenCounts(3000, tokens, loss, 0, 0, 0, many.LongestSample)));
    }

    [Test]
    public void The_cache_is_reused_and_made_again_when_data_tokenizer_or_options_change()
    {
        WritePairs(5);
        Assert.That(OutcomeOf(o => o), Is.EqualTo(CacheOutcome.Built));
        Assert.That(OutcomeOf(o => o with { Threads = 3 }), Is.EqualTo(CacheOutcome.Reused));
        Assert.That(OutcomeOf(o => o with { Framing = new() { AppendEos = false } }), Is.EqualTo(CacheOutcome.Built));
        Assert.That(OutcomeOf(o => o with { Jsonl = new() { PromptField = "completion", CompletionField = "prompt" } }), Is.EqualTo(CacheOutcome.Built));
        using (TokenizedDataset other = TokenizedDataset.Open(Data, new LetterEncoder { Fingerprint = "letters 2" }))
        {
            Assert.That(other.Outcome, Is.EqualTo(CacheOutcome.Built));
        }

        File.AppendAllText(Data, "\n");
        Assert.That(OutcomeOf(o => o), Is.EqualTo(CacheOutcome.Built));
    }

    [Test]
    public void A_damaged_cache_is_made_again()
    {
        WritePairs(50);
        byte[] good;
        string path;
        using (TokenizedDataset data = Open(o => o))
        {
            path = data.CachePath;
            good = File.ReadAllBytes(path);
        }

        foreach (int length in (int[])[0, 1, 255, 256, good.Length / 2, good.Length - 1])
        {
            Damaged(path, good, good[..length], $"cut to {length} bytes");
        }

        for (int at = 0; at < good.Length; at += Math.Max(1, good.Length / 97))
        {
            byte[] flipped = [.. good];
            flipped[at] ^= 0x10;
            Damaged(path, good, flipped, $"bit of byte {at}");
        }

        Damaged(path, good, [.. good, 0], "a byte more");
    }

    [Test]
    public void A_bad_line_leaves_no_cache_behind()
    {
        WritePairs(2000);
        File.AppendAllText(Data, "{\"prompt\": 1}\n");
        Assert.That(() => Open(o => o), Throws.TypeOf<DatasetException>().With.Message.StartsWith($"{Data}:2001: "));
        Assert.That(Directory.GetFiles(Path.Combine(_folder, ".graft-cache")), Is.Empty);
    }

    [Test]
    public void Long_samples_are_cut_left_out_or_refused_as_asked()
    {
        File.WriteAllLines(Data, [Line("a", "b"), Line("!!!!!!!!", "!!"), Line("", "!!!!!!!!!!")]);
        using (TokenizedDataset cut = Open(o => o with { Framing = new() { MaxLength = 6 } }))
        {
            Assert.That(cut.Counts, Is.EqualTo(new TokenCounts(3, 3 + 6 + 6, 2 + 3 + 5, 2, 0, 0, 6)));
        }

        using (TokenizedDataset dropped = Open(o => o with { Framing = new() { MaxLength = 6, LongSamples = LongSamplePolicy.Drop } }))
        {
            Assert.That(dropped.Counts, Is.EqualTo(new TokenCounts(1, 3, 2, 0, 2, 0, 3)));
        }

        Assert.That(
            () => Open(o => o with { Framing = new() { MaxLength = 6, LongSamples = LongSamplePolicy.Error } }),
            Throws.TypeOf<DatasetException>().With.Message.StartsWith($"{Data}:2: the sample has 11 tokens, allowed are 6"));
    }

    [Test]
    public void Samples_without_loss_are_left_out_and_counted()
    {
        File.WriteAllLines(Data, [Line("a", ""), Line("", "b"), Line("a", "b"), Line("", "")]);
        using TokenizedDataset data = Open(o => o with { Framing = new() { AppendEos = false } });
        Assert.That((data.Count, data.Counts.WithoutLoss), Is.EqualTo((1L, 3L)));
        Assert.That(data.CountWithLossOn(LetterEncoder.Eos), Is.Zero);
        using TokenizedDataset stopping = Open(o => o);
        Assert.That((stopping.Count, stopping.CountWithLossOn(LetterEncoder.Eos)), Is.EqualTo((3L, 3L)));
    }

    [Test]
    public void Sample_ids_follow_the_content_and_not_the_place()
    {
        string[] lines = [Line("a", "b"), Line("c", "d"), Line("a", "b"), Line("ab", "")];
        File.WriteAllLines(Data, lines);
        ulong[] first = Ids(o => o);
        Assert.That(first.Distinct().Count(), Is.EqualTo(4));
        Assert.That(Ids(o => o with { Framing = new() { AppendEos = false, PromptFormat = "{prompt}={completion}{{" } }), Is.EqualTo(first));
        File.WriteAllLines(Data, [Line("new", "line"), lines[3], lines[0], lines[1], lines[2]]);
        ulong[] moved = Ids(o => o);
        Assert.That(moved[1..], Is.EqualTo(new[] { first[3], first[0], first[1], first[2] }));
    }

    [Test]
    public void A_cache_of_more_than_two_gibibytes_is_read()
    {
        // A sparse file: sample 0 has 600 million tokens that take no room on the disk, sample 1 lies behind it.
        string path = Path.Combine(_folder, "large.tokens");
        const int Many = 600_000_000;
        long second = TokenCacheFile.HeaderBytes + (((Many * 5L) + 7) & ~7L);
        long table = second + 16;
        byte[] key = new byte[TokenCacheFile.KeyBytes];
        byte[] header = new byte[TokenCacheFile.HeaderBytes];
        TokenCacheFile.WriteHeader(header, key, new TokenCounts(2, Many + 2L, 0, 0, 0, 0, Many), table, table + (2 * TokenCacheFile.RowBytes));
        using (FileStream stream = File.Create(path))
        {
            stream.Write(header);
            stream.Position = second;
            stream.Write(MemoryMarshal.AsBytes<int>([7, 8]));
            stream.Write([0, 1, 0, 0, 0, 0, 0, 0]);
            stream.Write(MemoryMarshal.AsBytes<long>([TokenCacheFile.HeaderBytes, 11, Many, second, 12, 2]));
        }

        using TokenCacheFile cache = TokenCacheFile.Open(path, key, verifyHash: false);
        Assert.That(new FileInfo(path).Length, Is.GreaterThan(int.MaxValue));
        Assert.That(cache.Ids(1).ToArray(), Is.EqualTo(new[] { 7, 8 }));
        Assert.That(cache.LossMask(1).ToArray(), Is.EqualTo(new byte[] { 0, 1 }));
        Assert.That((cache.SampleId(1), cache.Ids(0)[Many - 1], cache.LossMask(0)[Many - 1]), Is.EqualTo((12UL, 0, (byte)0)));
    }

    [Test]
    public void The_sample_data_of_the_repository_is_read()
    {
        string? root = FixtureFolder.Repository;
        Assume.That(root, Is.Not.Null, "no checkout: the samples are not here");
        using TokenizedDataset data = TokenizedDataset.Open(Path.Combine(root!, "samples", "e2e-nlg", "train.jsonl"), new LetterEncoder(),
            new DatasetOptions { CacheFolder = _folder });
        Assert.That(data.Count, Is.EqualTo(4672));
    }

    [Test]
    public void Reading_after_dispose_is_an_error()
    {
        WritePairs(2);
        TokenizedDataset data = Open(o => o);
        data.Dispose();
        data.Dispose();
        Assert.That(() => data.Ids(0).Length, Throws.TypeOf<ObjectDisposedException>());
    }

    private static string Line(string prompt, string completion) => $$"""{"prompt":"{{prompt}}","completion":"{{completion}}"}""";

    private void Damaged(string path, byte[] good, byte[] bad, string what)
    {
        File.WriteAllBytes(path, bad);
        using TokenizedDataset again = Open(o => o);
        Assert.That(again.Outcome, Is.EqualTo(CacheOutcome.Rebuilt), what);
        Assert.That(File.ReadAllBytes(path).AsSpan().SequenceEqual(good), Is.True, what);
    }

    private void WritePairs(int count)
    {
        File.WriteAllLines(Data, Enumerable.Range(0, count).Select(i => Line($"number {i}", string.Concat(Enumerable.Repeat("ten ", i % 13)) + i)));
    }

    private TokenizedDataset Open(Func<DatasetOptions, DatasetOptions> change) =>
        TokenizedDataset.Open(Data, new LetterEncoder(), change(new DatasetOptions()));

    private CacheOutcome OutcomeOf(Func<DatasetOptions, DatasetOptions> change)
    {
        using TokenizedDataset data = Open(change);
        return data.Outcome;
    }

    private ulong[] Ids(Func<DatasetOptions, DatasetOptions> change)
    {
        using TokenizedDataset data = Open(change);
        return [.. Enumerable.Range(0, (int)data.Count).Select(i => data.SampleId(i))];
    }
}
