using CsCheck;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
public sealed class GgufFileTests
{
    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("graft-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    private string Save(byte[] bytes)
    {
        string path = Path.Combine(_folder, "a.gguf");
        File.WriteAllBytes(path, bytes);
        return path;
    }

    [TestCase(2u)]
    [TestCase(3u)]
    public void Every_metadata_type_is_read(uint version)
    {
        (string Key, object Value)[] pairs =
        [
            ("u8", (byte)200), ("i8", (sbyte)-5), ("u16", (ushort)60000), ("i16", (short)-300), ("u32", 4_000_000_000u), ("i32", -7), ("f32", 1.5f), ("yes", true), ("no", false),
            ("text", "grüße"), ("u64", ulong.MaxValue), ("i64", long.MinValue), ("f64", Math.PI), ("texts", new[] { "a", "", "ß" }), ("ints", new[] { 1, -2 }),
            ("flags", new[] { true, false }), ("bytes", new byte[] { 1, 2 }), ("reals", new[] { 1f, 2f }), ("nested", new object[] { new[] { 1, 2 }, new[] { "x" } }), ("none", Array.Empty<uint>()),
        ];
        GgufBuilder builder = new(version);
        foreach ((string key, object value) in pairs)
        {
            _ = builder.Add(key, value);
        }

        using GgufFile file = GgufFile.Open(Save(builder.Build()));
        Assert.That(file.Version, Is.EqualTo(version));
        Assert.That(file.Metadata.Keys, Is.EqualTo(pairs.Select(p => p.Key)));
        foreach ((string key, object value) in pairs)
        {
            Assert.That(file.Metadata[key], Is.EqualTo(value), key);
        }
    }

    [Test]
    public void Shapes_are_outermost_first_and_alignment_is_honoured()
    {
        byte[] bytes = new GgufBuilder().Add("general.alignment", 64u).Floats("a", [2, 3], 1, 2, 3, 4, 5, 6).Floats("b", [], 7).Build(64);
        using GgufFile file = GgufFile.Open(Save(bytes));
        Assert.That(file.Tensors["a"].Shape, Is.EqualTo(new Shape(2, 3)));
        Assert.That(file.ReadFloats("a"), Is.EqualTo(new float[] { 1, 2, 3, 4, 5, 6 }));
        Assert.That(file.ReadFloats("b"), Is.EqualTo(new float[] { 7 }));
        Assert.That(file.Tensors["b"].Offset % 64, Is.Zero);
    }

    [Test]
    public void A_range_inside_blocks_equals_that_part_of_the_whole()
    {
        byte[] data = [.. Enumerable.Range(0, 4 * 3 * 34).Select(i => (byte)((i % 34) == 1 ? 0x30 : i * 7))];
        using GgufFile file = GgufFile.Open(Save(new GgufBuilder().Tensor("a", [4, 96], 8, data).Build()));
        float[] all = file.ReadFloats("a");
        BFloat16[] rounded = new BFloat16[all.Length];
        file.Read("a", rounded);
        Assert.That(rounded, Is.EqualTo(all.Select(v => (BFloat16)v)));
        Gen.Select(Gen.Int[0, all.Length], Gen.Int[0, all.Length]).Sample(
            (from, to) =>
            {
                float[] part = new float[Math.Max(0, to - from)];
                file.Read("a", from, part.AsSpan());
                Assert.That(part, Is.EqualTo(all[from..Math.Max(from, to)]));
            },
            iter: 200,
            threads: 1);
        Assert.That(() => file.Read("a", 380, new float[5].AsSpan()), Throws.TypeOf<CheckpointException>());
    }

    [Test]
    public void Broken_files_are_refused()
    {
        byte[] good = new GgufBuilder().Add("k", 1u).Floats("a", [2], 1, 2).Build();
        (byte[] Bytes, string Says)[] rows =
        [
            (good[..20], "truncated"),
            (good[..^32], "'a' claims"),
            ([.. "GGML"u8, .. good[4..]], "not a GGUF"),
            ([.. good[..4], 1, .. good[5..]], "version 1"),
            ([.. good[..4], 0, 0, 0, 3, .. good[8..]], "big-endian"),
            (new GgufBuilder().Add("k", 1u).Add("k", 2u).Build(), "'k' appears twice"),
            (new GgufBuilder().Floats("a", [1], 1).Floats("a", [1], 1).Build(), "'a' appears twice"),
            (new GgufBuilder().Tensor("a", [1], 77, new byte[4]).Build(), "unknown type 77"),
            (new GgufBuilder().Tensor("a", [2, 33], 2, new byte[100]).Build(), "multiple of the 32"),
            (new GgufBuilder().Tensor("a", [1, 1, 1, 1, 1], 0, new byte[4]).Build(), "5 axes"),
            (new GgufBuilder().Tensor("a", [int.MaxValue, int.MaxValue, int.MaxValue, int.MaxValue], 0, new byte[4]).Build(), "2^63"),
            (new GgufBuilder().Tensor("a", [-1], 0, new byte[4]).Build(), "length 18446744073709551615"),
            (new GgufBuilder().Tensor("a", [1], 0, new byte[4], 4).Build(), "alignment 32"),
            (new GgufBuilder().Tensor("a", [1], 0, new byte[4], ulong.MaxValue - 31).Build(), "'a' claims"),
            (new GgufBuilder().Floats("a", [2], 1, 2).Tensor("b", [1], 0, new byte[4], 0).Build(), "overlaps"),
            (new GgufBuilder().Add("general.alignment", 0u).Build(), "power of two"),
            (new GgufBuilder().Add("general.alignment", 33u).Build(), "power of two"),
        ];
        foreach ((byte[] bytes, string says) in rows)
        {
            string path = Save(bytes);
            Assert.That(() => GgufFile.Open(path), Throws.TypeOf<CheckpointException>().With.Message.Contains(says).And.Message.Contains(path));
        }
    }

    [Test]
    public void A_type_that_cannot_be_unpacked_is_listed_and_refused_by_name()
    {
        using GgufFile file = GgufFile.Open(Save(new GgufBuilder().Tensor("a", [256], 10, new byte[84]).Build()));
        Assert.That(() => file.ReadFloats("a"), Throws.TypeOf<CheckpointException>().With.Message.Contains("Q2_K").And.Message.Contains("'a'"));
    }

    [Test]
    public void A_claimed_count_allocates_nothing()
    {
        byte[] bytes = new GgufBuilder().Add("texts", new[] { "a", "b" }).Build();
        int at = bytes.AsSpan().IndexOf("texts"u8) + 5 + 4 + 4;
        foreach (ulong count in (ulong[])[100, int.MaxValue, 1UL << 40, ulong.MaxValue])
        {
            BitConverter.TryWriteBytes(bytes.AsSpan(at), count);
            string path = Save(bytes);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.That(() => GgufFile.Open(path), Throws.TypeOf<CheckpointException>().With.Message.Contains("texts"));
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1_000_000));
        }
    }

    [Test]
    public void Any_bytes_are_read_or_refused_as_a_checkpoint_error()
    {
        byte[] good = GgufCheckpointTests.Tiny("llama").Build();
        string path = Path.Combine(_folder, "fuzz.gguf");
        int front = good.AsSpan().IndexOf("output_norm"u8) + 60;
        int refused = 0;
        Gen.Select(Gen.Int[0, front], Gen.Byte, Gen.Int[0, front], Gen.Byte, Gen.Int[0, good.Length]).Sample(
            (i, a, j, b, length) =>
            {
                byte[] bytes = [.. good];
                bytes[i] = a;
                bytes[j] = b;
                File.WriteAllBytes(path, bytes.AsSpan(0, i % 8 != 0 ? good.Length : length));
                try
                {
                    using GgufCheckpoint file = GgufCheckpoint.Open(path);
                    foreach (string name in file.Tensors.Keys)
                    {
                        _ = file.ReadFloats(name);
                    }
                }
                catch (CheckpointException e)
                {
                    refused++;
                    Assert.That(e.Message, Does.Contain(path));
                }
            },
            iter: 500,
            threads: 1);
        Assert.That(refused, Is.GreaterThan(50));
    }
}
