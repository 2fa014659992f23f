namespace Graft.Runtime;

/// <summary>The numbers of one AdamW step, worked out in F64 and rounded, as in the update of each element:
/// g ← g·Sign + Penalty·p; p ← p·Before; m ← m + OneMinusBeta1·(g − m); v ← Beta2·v + OneMinusBeta2·g·g; p ← p − StepSize·(m / (√v / Root2 + Epsilon));
/// p ← p + After·p. With a largest v, that takes the place of v in the root.</summary>
/// <param name="Before">1 − lr·wd for decay before the update, else 1.</param>
/// <param name="After">−lr·wd for decay after the update, else 0.</param>
/// <param name="Penalty">wd for decay in the gradient, else 0.</param>
/// <param name="Sign">−1 to go up the gradient, else 1.</param>
/// <param name="OneMinusBeta1">1 − β1.</param>
/// <param name="Beta2">β2.</param>
/// <param name="OneMinusBeta2">1 − β2.</param>
/// <param name="Root2">√(1 − β2^t), or 1 where ε is added before the correction.</param>
/// <param name="Epsilon">ε.</param>
/// <param name="StepSize">lr / (1 − β1^t), times √(1 − β2^t) where ε is added before the correction.</param>
public readonly record struct AdamWFactors(
    float Before, float After, float Penalty, float Sign, float OneMinusBeta1, float Beta2, float OneMinusBeta2, float Root2, float Epsilon, float StepSize);

/// <summary>The numbers of one SGD step: g ← g·Sign + Penalty·p; b ← Momentum·b + Fresh·g; g ← g + Ahead·b with Nesterov, else b; p ← p − LearningRate·g.</summary>
/// <param name="Sign">−1 to go up the gradient, else 1.</param>
/// <param name="Penalty">Weight decay.</param>
/// <param name="Momentum">μ; 0 in the first update.</param>
/// <param name="Fresh">1 − dampening; 1 in the first update.</param>
/// <param name="Ahead">μ with Nesterov.</param>
/// <param name="LearningRate">lr.</param>
/// <param name="Nesterov">Look ahead along the momentum.</param>
public readonly record struct SgdFactors(float Sign, float Penalty, float Momentum, float Fresh, float Ahead, float LearningRate, bool Nesterov);

/// <summary>Which norm of a flat block <see cref="FlatKernels.Norm"/> gathers, in the numbering of flat.cu.</summary>
public enum FlatNorm
{
    /// <summary>Σ x²; the root is the caller's.</summary>
    SumOfSquares,

    /// <summary>Σ |x|.</summary>
    SumOfMagnitudes,

    /// <summary>The largest |x|; NaN where one is.</summary>
    LargestMagnitude,
}

/// <summary>What optimizers and clipping do with whole flat blocks on a CUDA device, in the CPU's order of arithmetic: a step gives the same bits.</summary>
/// <remarks>All blocks of a call have the same number of elements and are F32 unless said otherwise. Nothing waits for the device.</remarks>
public static class FlatKernels
{
    /// <summary>Elements of the F64 tensor that <see cref="Norm"/> works in; the first is the result.</summary>
    public const int NormElements = 1 + MostParts;

    private const int MostParts = 1024;
    private const int LeastPart = 8192;
    private const int Width = 4;
    private static readonly Kernel s_adamw = new("optimizer", "adamw");
    private static readonly Kernel s_adamwStochastic = new("optimizer", "adamw_stochastic");
    private static readonly Kernel s_sgd = new("optimizer", "sgd");
    private static readonly Kernel s_scale = new("flat", "flat_scale");
    private static readonly Kernel s_addScaled = new("flat", "flat_add_scaled");
    private static readonly Kernel s_clamp = new("flat", "flat_clamp");
    private static readonly Kernel s_clip = new("flat", "flat_clip");
    private static readonly Kernel s_normParts = new("flat", "flat_norm_parts");
    private static readonly Kernel s_normFinish = new("flat", "flat_norm_finish");

    /// <summary>One step of AdamW.</summary>
    /// <param name="device">Where the blocks lie.</param>
    /// <param name="parameter">The parameters; written.</param>
    /// <param name="copy">BF16: the parameters rounded, written too; null for none.</param>
    /// <param name="gradient">Their gradients.</param>
    /// <param name="m">Means of gradients; written.</param>
    /// <param name="v">Means of squares; written.</param>
    /// <param name="largest">The largest v so far (AMSGrad); written; null for none.</param>
    /// <param name="factors">The step's numbers.</param>
    public static void AdamW(CudaDevice device, Tensor parameter, Tensor? copy, Tensor gradient, Tensor m, Tensor v, Tensor? largest, in AdamWFactors factors)
    {
        long n = Check(device, "adamw", parameter, DType.F32, gradient, m, v, largest);
        AdamWFactors f = factors;
        if (copy is null)
        {
            device.Launch(
                s_adamw, DType.F32, Shape(n), parameter, gradient, m, v, largest, n,
                f.Before, f.After, f.Penalty, f.Sign, f.OneMinusBeta1, f.Beta2, f.OneMinusBeta2, f.Root2, f.Epsilon, f.StepSize);
            return;
        }

        _ = Check(device, "adamw", copy, DType.BF16, parameter);
        device.Launch(
            s_adamw, DType.BF16, Shape(n), parameter, copy, gradient, m, v, largest, n,
            f.Before, f.After, f.Penalty, f.Sign, f.OneMinusBeta1, f.Beta2, f.OneMinusBeta2, f.Root2, f.Epsilon, f.StepSize);
    }

    /// <summary>One step of AdamW on BF16 parameters that have no F32 master: each is rounded up or down at random, so that small updates are right on average.
    /// Source: Zamirai et al. 2020, arXiv:2010.06192.</summary>
    /// <param name="device">Where the blocks lie.</param>
    /// <param name="parameter">The parameters, BF16; written.</param>
    /// <param name="gradient">Their gradients.</param>
    /// <param name="m">Means of gradients; written.</param>
    /// <param name="v">Means of squares; written.</param>
    /// <param name="largest">The largest v so far (AMSGrad); written; null for none.</param>
    /// <param name="factors">The step's numbers.</param>
    /// <param name="random">Element i is rounded by its bits i; give each step and each block a stream of its own.</param>
    public static void AdamWStochastic(CudaDevice device, Tensor parameter, Tensor gradient, Tensor m, Tensor v, Tensor? largest, in AdamWFactors factors, Rng random)
    {
        long n = Check(device, "adamw", parameter, DType.BF16, gradient, m, v, largest);
        AdamWFactors f = factors;
        device.Launch(
            s_adamwStochastic, DType.BF16, Shape(n), parameter, gradient, m, v, largest, n,
            f.Before, f.After, f.Penalty, f.Sign, f.OneMinusBeta1, f.Beta2, f.OneMinusBeta2, f.Root2, f.Epsilon, f.StepSize, random.Key, random.Step);
    }

    /// <summary>One step of SGD.</summary>
    /// <param name="device">Where the blocks lie.</param>
    /// <param name="parameter">The parameters; written.</param>
    /// <param name="copy">BF16: the parameters rounded, written too; null for none.</param>
    /// <param name="gradient">Their gradients.</param>
    /// <param name="buffer">The momentum; written; null for none.</param>
    /// <param name="factors">The step's numbers.</param>
    public static void Sgd(CudaDevice device, Tensor parameter, Tensor? copy, Tensor gradient, Tensor? buffer, in SgdFactors factors)
    {
        long n = Check(device, "sgd", parameter, DType.F32, gradient, buffer);
        SgdFactors f = factors;
        if (copy is null)
        {
            device.Launch(s_sgd, DType.F32, Shape(n), parameter, gradient, buffer, n, f.Sign, f.Penalty, f.Momentum, f.Fresh, f.Ahead, f.LearningRate, f.Nesterov);
            return;
        }

        _ = Check(device, "sgd", copy, DType.BF16, parameter);
        device.Launch(s_sgd, DType.BF16, Shape(n), parameter, copy, gradient, buffer, n, f.Sign, f.Penalty, f.Momentum, f.Fresh, f.Ahead, f.LearningRate, f.Nesterov);
    }

    /// <summary>x ← factor·x.</summary>
    public static void Scale(CudaDevice device, Tensor x, float factor)
    {
        long n = Check(device, "scale", x, DType.F32);
        device.Launch(s_scale, Shape(n), x, n, factor);
    }

    /// <summary>y ← y + factor·x, in one rounding.</summary>
    public static void AddScaled(CudaDevice device, Tensor y, Tensor x, float factor)
    {
        long n = Check(device, "add_scaled", y, DType.F32, x);
        device.Launch(s_addScaled, Shape(n), y, x, n, factor);
    }

    /// <summary>Limits every element to [−limit, limit]; NaN stays.</summary>
    public static void Clamp(CudaDevice device, Tensor x, float limit)
    {
        long n = Check(device, "clamp", x, DType.F32);
        device.Launch(s_clamp, Shape(n), x, n, limit);
    }

    /// <summary>Gathers a norm of x into the first element of <paramref name="sums"/>, in F64 and in an order that the length alone decides.</summary>
    /// <param name="device">Where the blocks lie.</param>
    /// <param name="x">The block.</param>
    /// <param name="order">Which norm.</param>
    /// <param name="sums">F64, <see cref="NormElements"/>; the rest of it is scratch.</param>
    /// <param name="accumulate">Join with what the first element holds.</param>
    public static void Norm(CudaDevice device, Tensor x, FlatNorm order, Tensor sums, bool accumulate)
    {
        long n = Check(device, "norm", x, DType.F32);
        CheckSums(sums);
        long parts = Math.Clamp((n + LeastPart - 1) / LeastPart, 1, MostParts);
        long length = ((n + parts - 1) / parts + Width - 1) / Width * Width;
        nint scratch = sums.DevicePointer() + sizeof(double);
        if (n > 0)
        {
            parts = (n + length - 1) / length;
            device.Launch(s_normParts, new LaunchShape(parts, 256), x, scratch, n, length, (int)order);
        }

        device.Launch(s_normFinish, new LaunchShape(1, 256), scratch, sums, n > 0 ? (int)parts : 0, (int)order, accumulate);
    }

    /// <summary>x ← x·min(1, limit / (√sum + 1e-6)), the sum of squares being the first element of <paramref name="sums"/>: clipping by a norm that the host never reads.</summary>
    public static void Clip(CudaDevice device, Tensor x, Tensor sums, float limit)
    {
        long n = Check(device, "clip", x, DType.F32);
        CheckSums(sums);
        device.Launch(s_clip, Shape(n), x, n, sums, limit);
    }

    private static LaunchShape Shape(long n) => LaunchShape.Over((n + Width - 1) / Width);

    private static long Check(CudaDevice device, string name, Tensor first, DType type, params ReadOnlySpan<Tensor?> others)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(first);
        if (first.DType != type)
        {
            throw new DTypeException($"{name}: {type.Name()} is needed, {first} was given.");
        }

        foreach (Tensor? other in others)
        {
            if (other is not null && (other.Shape.Count != first.Shape.Count || other.DType != DType.F32))
            {
                throw new ShapeException($"{name}: {other} was given beside {first}; {first.Shape.Count} elements f32 are needed.");
            }
        }

        return first.Shape.Count;
    }

    private static void CheckSums(Tensor sums)
    {
        ArgumentNullException.ThrowIfNull(sums);
        if (sums.DType != DType.F64 || sums.Shape.Count < NormElements)
        {
            throw new ShapeException($"norm: a tensor of {NormElements} elements f64 is needed, {sums} was given.");
        }
    }
}
