namespace Graft.Runtime;

/// <summary>elementwise.cu: sums into gradients, conversions, constants, choices by mask, dropout.</summary>
internal static class ElementwiseCuda
{
    private const string Family = "elementwise";

    private static readonly Kernel[,] s_add = Pairs((from, to) => $"add_{from}_into_{to}");
    private static readonly Kernel[,] s_cast = Pairs((from, to) => $"cast_{from}_to_{to}");
    private static readonly Kernel s_fill = new(Family, "fill");
    private static readonly Kernel s_choose = new(Family, "choose");
    private static readonly Kernel s_dropout = new(Family, "dropout");

    /// <summary>A thread for each 16 bytes of a tensor of this type.</summary>
    public static LaunchShape Over(DType type, long count)
    {
        int group = 16 / type.Size();
        return LaunchShape.Over((count + group - 1) / group);
    }

    /// <summary>target += source; F32, BF16 or F16 each.</summary>
    public static void AddInto(CudaDevice device, Tensor target, Tensor source) => Run(device, s_add, "add", target, source);

    /// <summary>target = source in the target's type; F32, BF16 or F16 each.</summary>
    public static void CastInto(CudaDevice device, Tensor target, Tensor source)
    {
        if (target.DType == source.DType)
        {
            target.CopyFrom(source, 0, 0, target.Shape.Count);
            return;
        }

        Run(device, s_cast, "cast", target, source);
    }

    /// <summary>The same between addresses: F32, BF16 or F16 each.</summary>
    public static void Cast(CudaDevice device, nint from, DType fromType, nint to, DType toType, long count)
        => device.Launch(s_cast[(int)fromType, (int)toType], LaunchShape.Over((count + 3) / 4), from, to, count);

    public static void Fill(CudaDevice device, Tensor target, float value)
    {
        Require(target, "fill");
        device.Launch(s_fill, target.DType, Over(target.DType, target.Shape.Count), target, target.Shape.Count, value);
    }

    /// <summary>y = mask ? whenTrue : whenFalse (or y += that), the mask repeated, a choice that is null being the constant.</summary>
    public static void Choose(CudaDevice device, Tensor mask, Tensor? whenTrue, Tensor? whenFalse, float constant, Tensor y, bool add)
        => device.Launch(
            s_choose, y.DType, LaunchShape.Over((y.Shape.Count + 3) / 4), mask, mask.Shape.Count, whenTrue, whenFalse, constant, y, y.Shape.Count, add);

    /// <summary>The numbers of the CPU's DropoutKernel.</summary>
    public static void Dropout(CudaDevice device, in Dropout op, Tensor x, Tensor y, bool add)
    {
        long blocks = ((op.First + x.Shape.Count + 3) >> 2) - (op.First >> 2); // of four elements of the stream
        float scale = (float)(1 / (1 - (double)op.P));
        device.Launch(
            s_dropout, x.DType, LaunchShape.Over(x.Shape.Count == 0 ? 0 : blocks), x, y, x.Shape.Count, op.First, op.P, scale, op.Rng.Key, op.Rng.Step, add);
    }

    private static void Run(CudaDevice device, Kernel[,] kernels, string what, Tensor target, Tensor source)
    {
        Require(target, what);
        Require(source, what);
        long groups = (target.Shape.Count + 3) / 4;
        device.Launch(kernels[(int)source.DType, (int)target.DType], LaunchShape.Over(groups), source, target, target.Shape.Count);
    }

    private static void Require(Tensor x, string what)
    {
        if (x.DType > DType.F16)
        {
            throw new DTypeException($"{what}: {x} is neither f32, bf16 nor f16; CUDA devices have no other floats.");
        }
    }

    // [from, to] by dtype, F32, BF16, F16 being the first three.
    private static Kernel[,] Pairs(Func<string, string, string> name)
    {
        Kernel[,] kernels = new Kernel[3, 3];
        for (DType from = DType.F32; from <= DType.F16; from++)
        {
            for (DType to = DType.F32; to <= DType.F16; to++)
            {
                kernels[(int)from, (int)to] = new Kernel(Family, name(from.Name(), to.Name()));
            }
        }

        return kernels;
    }
}
