using Graft.Runtime;

namespace Graft.Bench.Gpu;

/// <summary>Tensors with drawn elements. Zeros would flatter: a card computes them with less power.</summary>
internal static class Draw
{
    private const int Piece = 1 << 22;

    /// <summary>N(0, deviation²): a few million numbers, repeated; what is drawn on the host and sent is little, however large the tensor.</summary>
    public static Tensor Normal(Arena arena, Shape shape, DType type, double deviation = 1, int seed = 1)
    {
        Tensor tensor = arena.Allocate(shape, type, MemoryCategory.Weights);
        Fill(tensor, deviation, seed);
        return tensor;
    }

    public static void Fill(Tensor tensor, double deviation, int seed)
    {
        long count = tensor.Shape.Count;
        float[] values = new float[Math.Min(Piece, count)];
        new Rng((ulong)seed).Stream("bench").FillNormal(0, values, 0, (float)deviation);
        if (tensor.DType == DType.BF16)
        {
            tensor.Write<BFloat16>(Array.ConvertAll(values, v => (BFloat16)v), 0);
        }
        else
        {
            tensor.Write<float>(values, 0);
        }

        for (long done = values.Length; done < count; done += values.Length)
        {
            tensor.CopyFrom(tensor, 0, done, Math.Min(values.Length, count - done));
        }
    }

    public static Tensor Integers(Arena arena, Shape shape, int below, int seed = 2)
    {
        Rng random = new Rng((ulong)seed).Stream("integers");
        return arena.Create<int>(shape, [.. Enumerable.Range(0, checked((int)shape.Count)).Select(i => random.Below(i, below))], MemoryCategory.Weights);
    }

    /// <summary>True where the first elements are numbers.</summary>
    public static bool IsFinite(Tensor tensor)
    {
        int count = (int)Math.Min(4096, tensor.Shape.Count);
        if (tensor.DType == DType.BF16)
        {
            BFloat16[] half = new BFloat16[count];
            tensor.CopyTo<BFloat16>(half);
            return half.All(v => float.IsFinite((float)v));
        }

        float[] values = new float[count];
        tensor.CopyTo<float>(values);
        return values.All(float.IsFinite);
    }
}
