using System.Numerics.Tensors;

namespace Graft.Runtime.Cpu;

/// <summary>What the tape does with gradients beside the ops: add, widen, fill.</summary>
internal static unsafe class CpuGradients
{
    /// <summary>target += source, both F32 or both F64.</summary>
    public static void AddInto(WorkerTeam team, Tensor target, Tensor source)
    {
        if (target.DType == DType.F64)
        {
            TensorPrimitives.Add(target.AsSpan<double>(), source.AsSpan<double>(), target.AsSpan<double>());
            return;
        }

        AddWork work = new() { Target = target.Pointer<float>(), Gradient = source.Pointer<float>(), Count = target.Shape.Count };
        team.Run((int)((work.Count + AddWork.Grain - 1) / AddWork.Grain), ref work);
    }

    public static void CastInto(Tensor target, Tensor source)
    {
        if (target.DType == source.DType)
        {
            target.CopyFrom(source.Shape == target.Shape ? source : source.Alias(target.Shape));
            return;
        }

        for (long i = 0; i < target.Shape.Count; i++)
        {
            Write(target, i, Read(source, i));
        }
    }

    public static void FillWith(Tensor target, float value)
    {
        if (target.DType == DType.F32)
        {
            target.AsSpan<float>().Fill(value);
            return;
        }

        for (long i = 0; i < target.Shape.Count; i++)
        {
            Write(target, i, value);
        }
    }

    private static double Read(Tensor x, long i) => x.DType switch
    {
        DType.F32 => x.Pointer<float>()[i],
        DType.BF16 => (float)x.Pointer<BFloat16>()[i],
        DType.F16 => (double)x.Pointer<Half>()[i],
        _ => x.Pointer<double>()[i],
    };

    private static void Write(Tensor x, long i, double value)
    {
        switch (x.DType)
        {
            case DType.F32:
                x.Pointer<float>()[i] = (float)value;
                break;
            case DType.BF16:
                x.Pointer<BFloat16>()[i] = (BFloat16)(float)value;
                break;
            case DType.F16:
                x.Pointer<Half>()[i] = (Half)value;
                break;
            default:
                x.Pointer<double>()[i] = value;
                break;
        }
    }

    private struct AddWork : IChunkWork
    {
        public const long Grain = 1 << 16;

        public float* Target;
        public float* Gradient;
        public long Count;

        public readonly void Invoke(int chunk, int worker)
        {
            long start = chunk * Grain;
            int length = (int)Math.Min(Grain, Count - start);
            Span<float> target = new(Target + start, length);
            TensorPrimitives.Add(target, new ReadOnlySpan<float>(Gradient + start, length), target);
        }
    }
}
