using System.Text;
using CsCheck;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
public sealed class SafeTensorsFileTests
{
    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("graft-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    private string Write(string header, byte[] data, ulong? claimed = null)
    {
        string path = Path.Combine(_folder, "a.safetensors");
        byte[] json = Encoding.UTF8.GetBytes(header);
        File.WriteAllBytes(path, [.. BitConverter.GetBytes(claimed ?? (ulong)json.Length), .. json, .. data]);
        return path;
    }

    [Test]
    public void Elements_of_every_readable_type_become_floats_also_at_odd_addresses()
    {
        (string Code, byte[] Bytes, float[] Values)[] rows =
        [
            ("U8", [7, 255], [7, 255]),
            ("F64", [.. BitConverter.GetBytes(1.5), .. BitConverter.GetBytes(-2.0)], [1.5f, -2]),
            ("F32", [.. BitConverter.GetBytes(3.25f)], [3.25f]),
            ("F16", [.. BitConverter.GetBytes((Half)0.5f)], [0.5f]),
            ("BF16", [0x80, 0x3F, 0x20, 0xC0], [1, -2.5f]),
            ("I64", [.. BitConverter.GetBytes(-5L)], [-5]),
            ("I32", [.. BitConverter.GetBytes(6)], [6]),
            ("I16", [.. BitConverter.GetBytes((short)-300)], [-300]),
            ("I8", [0xFF], [-1]),
            ("BOOL", [1, 0], [1, 0]),
        ];
        StringBuilder header = new("{");
        List<byte> data = [9];
        _ = header.Append("\"odd\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}");
        foreach ((string code, byte[] bytes, float[] values) in rows)
        {
            _ = header.Append(System.Globalization.CultureInfo.InvariantCulture, $",\"{code}\":{{\"dtype\":\"{code}\",\"shape\":[{values.Length}],\"data_offsets\":[{data.Count},{data.Count + bytes.Length}]}}");
            data.AddRange(bytes);
        }

        using SafeTensorsFile file = SafeTensorsFile.Open(Write(header.Append('}').ToString(), [.. data]));
        foreach ((string code, byte[] bytes, float[] values) in rows)
        {
            Assert.That(file.ReadFloats(code), Is.EqualTo(values), code);
            BFloat16[] rounded = new BFloat16[values.Length];
            file.Read(code, rounded);
            Assert.That(rounded, Is.EqualTo(values.Select(v => (BFloat16)v)), code);
            Assert.That(file.Bytes(code).ToArray(), Is.EqualTo(bytes), code);
        }
    }

    [Test]
    public void Many_BF16_values_and_NaNs_keep_their_bits()
    {
        byte[] data = new byte[65536 * 2];
        for (int i = 0; i < 65536; i++)
        {
            BitConverter.TryWriteBytes(data.AsSpan(i * 2), (ushort)i);
        }

        using SafeTensorsFile file = SafeTensorsFile.Open(Write("{\"a\":{\"dtype\":\"BF16\",\"shape\":[256,256],\"data_offsets\":[0,131072]}}", data));
        float[] values = file.ReadFloats("a");
        BFloat16[] same = new BFloat16[65536];
        file.Read("a", same);
        for (int i = 0; i < 65536; i++)
        {
            Assert.That(BitConverter.SingleToUInt32Bits(values[i]), Is.EqualTo((uint)i << 16));
            Assert.That(same[i].Bits, Is.EqualTo(i));
        }

        float[] part = new float[37];
        file.Read("a", 16000, part.AsSpan());
        Assert.That(part[36], Is.EqualTo(values[16036]));
    }

    [Test]
    public void All_F16_values_are_widened_exactly()
    {
        byte[] data = [.. Enumerable.Range(0, 65536).SelectMany(i => BitConverter.GetBytes((ushort)i))];
        using SafeTensorsFile file = SafeTensorsFile.Open(Write("{\"a\":{\"dtype\":\"F16\",\"shape\":[65536],\"data_offsets\":[0,131072]}}", data));
        float[] values = file.ReadFloats("a");
        for (int i = 0; i < values.Length; i++)
        {
            float expected = (float)BitConverter.UInt16BitsToHalf((ushort)i);
            bool same = float.IsNaN(expected) ? float.IsNaN(values[i]) : BitConverter.SingleToInt32Bits(values[i]) == BitConverter.SingleToInt32Bits(expected);
            Assert.That(same, $"{i:x4}: {values[i]}");
        }
    }

    [Test]
    public void A_tensor_of_more_than_2_GiB_is_read_by_ranges()
    {
        const long Bytes = 3L << 30;
        string path = Write($"{{\"a\":{{\"dtype\":\"U8\",\"shape\":[3,1073741824],\"data_offsets\":[0,{Bytes}]}}}}", []);
        using (FileStream sparse = new(path, FileMode.Open, FileAccess.Write))
        {
            sparse.SetLength(sparse.Length + Bytes); // a hole: takes no room on the disk
            sparse.Position = sparse.Length - 2;
            sparse.Write([7, 9]);
        }

        using SafeTensorsFile file = SafeTensorsFile.Open(path);
        float[] end = new float[3];
        file.Read("a", Bytes - 3, end.AsSpan());
        Assert.That(end, Is.EqualTo(new float[] { 0, 7, 9 }));
        Assert.That(file.Bytes("a", Bytes - 1, 1)[0], Is.EqualTo(9));
        Assert.That(() => file.Bytes("a"), Throws.TypeOf<CheckpointException>().With.Message.Contains("'a'"));
        Assert.That(() => file.ReadFloats("a"), Throws.TypeOf<CheckpointException>().With.Message.Contains("'a'"));
    }

    [Test]
    public void A_signalling_NaN_of_F32_is_untouched()
    {
        using SafeTensorsFile file = SafeTensorsFile.Open(Write("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", BitConverter.GetBytes(0x7FA12345u)));
        Assert.That(BitConverter.SingleToUInt32Bits(file.ReadFloats("a")[0]), Is.EqualTo(0x7FA12345u));
    }

    [Test]
    public void Metadata_order_scalars_and_empty_tensors_are_read()
    {
        using SafeTensorsFile file = SafeTensorsFile.Open(Write(
            "{\"z\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[8,8]}}   ",
            BitConverter.GetBytes(42L)));
        Assert.That(file.Tensors.Keys, Is.EqualTo(new[] { "z", "a" }));
        Assert.That(file.Metadata["format"], Is.EqualTo("pt"));
        Assert.That(file.ReadArray<long>("z"), Is.EqualTo(new[] { 42L }));
        Assert.That(file.Tensors["a"].Shape, Is.EqualTo(new Shape(0, 4)));
        Assert.That(file.ReadFloats("a"), Is.Empty);
    }

    [Test]
    public void A_type_without_conversion_is_listed_and_refused_on_read()
    {
        using SafeTensorsFile file = SafeTensorsFile.Open(Write("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", [1, 2]));
        Assert.That(file.Tensors["a"].TypeName, Is.EqualTo("F8_E4M3"));
        Assert.That(() => file.ReadFloats("a"), Throws.TypeOf<CheckpointException>().With.Message.Contains("'a'").And.Message.Contains("F8_E4M3"));
        Assert.That(file.Bytes("a").ToArray(), Is.EqualTo(new byte[] { 1, 2 }));
    }

    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "'a'", TestName = "{m}(truncated)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, "1 bytes behind", TestName = "{m}(trailing)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "overlaps", TestName = "{m}(overlap)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", 12, "hole of 4", TestName = "{m}(hole)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "hole of 4", TestName = "{m}(hole_at_start)")]
    [TestCase("{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "needs 4 bytes", TestName = "{m}(wrong_dtype)")]
    [TestCase("{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "F33", TestName = "{m}(unknown_dtype)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "'a' appears twice", TestName = "{m}(duplicate)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "'dtype' of tensor 'a' appears twice", TestName = "{m}(duplicate_inner)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[2147483647,2147483647,2147483647,2147483647],\"data_offsets\":[0,8]}}", 8, "2^63", TestName = "{m}(oversized)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967298],\"data_offsets\":[0,8]}}", 8, "axis 0", TestName = "{m}(axis_too_long)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "shape of tensor 'a'", TestName = "{m}(negative_axis)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "8 to 0", TestName = "{m}(reversed)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[18446744073709551608,0]}}", 8, "data_offsets", TestName = "{m}(offset_wraps)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "more than the 6", TestName = "{m}(rank)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 0, "'a' needs", TestName = "{m}(missing_offsets)")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8, "header is not valid", TestName = "{m}(unclosed)")]
    [TestCase("{\"\\ud800\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "header is not valid", TestName = "{m}(lone_surrogate)")]
    [TestCase("{\"__metadata__\":{\"a\":1}}", 0, "'__metadata__.a'", TestName = "{m}(metadata)")]
    [TestCase("[1]", 0, "JSON object", TestName = "{m}(list)")]
    [TestCase("{\"a\":[[[[[[[[[[[[]]]]]]]]]]]]}", 0, "", TestName = "{m}(deep)")]
    public void Bad_headers_are_refused(string header, int bytes, string says)
    {
        string path = Write(header, new byte[bytes]);
        Assert.That(() => SafeTensorsFile.Open(path), Throws.TypeOf<CheckpointException>().With.Message.Contains(says).And.Message.Contains(path));
    }

    [TestCase(0UL)]
    [TestCase(3UL)]
    [TestCase(1000UL)]
    [TestCase(99_999_999UL)]
    [TestCase(100_000_001UL)]
    [TestCase(ulong.MaxValue)]
    [TestCase((ulong)long.MaxValue)]
    public void A_header_length_that_lies_is_refused_without_allocating(ulong claimed)
    {
        string path = Write("{}  ", [], claimed);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.That(() => SafeTensorsFile.Open(path), Throws.TypeOf<CheckpointException>());
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1_000_000));
    }

    [Test]
    public void Empty_absent_and_directory_paths_are_refused()
    {
        string empty = Path.Combine(_folder, "empty");
        File.WriteAllBytes(empty, []);
        Assert.That(() => SafeTensorsFile.Open(empty), Throws.TypeOf<CheckpointException>().With.Message.Contains(empty));
        Assert.That(() => SafeTensorsFile.Open(empty + "x"), Throws.TypeOf<CheckpointException>().With.Message.Contains(empty));
        Assert.That(() => SafeTensorsFile.Open(_folder), Throws.TypeOf<CheckpointException>().With.Message.Contains(_folder));
    }

    [Test]
    public void Reading_outside_a_tensor_or_after_dispose_is_an_error()
    {
        SafeTensorsFile file = SafeTensorsFile.Open(Write("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", new byte[8]));
        Assert.That(() => file.Read("a", 1, new float[2].AsSpan()), Throws.TypeOf<CheckpointException>());
        Assert.That(() => file.Read("a", -1, new float[2].AsSpan()), Throws.TypeOf<CheckpointException>());
        Assert.That(() => file.Read("a", long.MaxValue, new float[2].AsSpan()), Throws.TypeOf<CheckpointException>());
        Assert.That(() => file.Read("a", new float[1]), Throws.TypeOf<CheckpointException>());
        Assert.That(() => file.ReadRaw("a", 8, new byte[1]), Throws.TypeOf<CheckpointException>());
        Assert.That(() => file.ReadFloats("b"), Throws.TypeOf<CheckpointException>().With.Message.Contains("'b'"));
        Assert.That(() => file.ReadArray<int>("a"), Throws.TypeOf<CheckpointException>());
        file.Dispose();
        file.Dispose();
        Assert.That(() => file.ReadFloats("a"), Throws.TypeOf<ObjectDisposedException>());
    }

    [Test]
    public void Any_bytes_are_read_or_refused_as_a_checkpoint_error()
    {
        byte[] good = File.ReadAllBytes(Write("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[8,9]}}", new byte[9]));
        string path = Path.Combine(_folder, "fuzz");
        int refused = 0;
        Gen.Select(Gen.Int[0, good.Length - 1], Gen.Byte, Gen.Int[0, good.Length - 1], Gen.Byte, Gen.Int[0, good.Length]).Sample(
            (i, a, j, b, length) =>
            {
                byte[] bytes = [.. good];
                bytes[i] = a;
                bytes[j] = b;
                File.WriteAllBytes(path, bytes.AsSpan(0, (i & 1) == 0 ? good.Length : length));
                try
                {
                    using SafeTensorsFile file = SafeTensorsFile.Open(path);
                    foreach (string name in file.Tensors.Keys)
                    {
                        _ = file.Bytes(name).ToArray();
                    }
                }
                catch (CheckpointException e)
                {
                    refused++;
                    Assert.That(e.Message, Does.Contain(path));
                }
            },
            iter: 500,
            threads: 1,
            seed: "0000KPsKP6v4");
        Assert.That(refused, Is.GreaterThan(50));
    }
}
