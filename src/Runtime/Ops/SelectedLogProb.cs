using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>logp = log softmax(hidden·Wᵀ)[target] per row: an output head and the log-probability of the given tokens in one op that never holds (N, V) logits.</summary>
/// <remarks>
/// hidden (..., C) F32, W (V, C) F32 or BF16 (all F64 for references), targets (...) I32; logp (...), then lse (...) if asked for. A negative target gives 0 and no
/// gradient, and its row is left out of every product. With smoothing ε: (1 - ε)·z_y + ε·mean(z) - lse, so that -logp is the smoothed cross-entropy.
/// Backward takes one coefficient per row. Where W is frozen, each row's gradient is made in forward while its logits are at hand (saved (N, C)) and only
/// scaled in backward. Else, or with lse, the logits of the last chunk stay until backward (saved (R, V)) and those of other chunks are computed again.
/// Workspace: R rows of logits, unless they are saved, R = 64 MiB / 4V between 32 and 1008, and 2·R rows of hidden.
/// On CUDA hidden and W are F32 or BF16 each, logp and lse F32, and rows of negative targets go through the products as zeros: see <see cref="SelectedLogProbCuda"/>.
/// Source: arXiv:2410.10989 (chunking).
/// </remarks>
/// <param name="Smoothing">ε, in [0, 1).</param>
/// <param name="SoftCap">Logits become cap·tanh(z / cap) first; 0 for none.</param>
/// <param name="LogSumExp">A second output, lse, with a gradient.</param>
public readonly record struct SelectedLogProb(float Smoothing, float SoftCap, bool LogSumExp) : IOp<SelectedLogProb>
{
    /// <inheritdoc/>
    public static OpInfo Info { get; } = new("selected_log_prob", 3, "arXiv:2410.10989");

    /// <inheritdoc/>
    public static void Infer(in SelectedLogProb op, ref InferCall c)
    {
        c.RequireActivation(0);
        DType type = c.Input(0).DType;
        Products.RequireWeight(ref c, 1, type);
        c.RequireType(2, DType.I32);
        Shape hidden = c.Shape(0);
        Shape weight = c.Shape(1);
        c.Require(hidden.Rank >= 1 && weight.Rank == 2 && weight[1] == hidden.Last, $"a weight (V, {hidden.Last}) is needed");
        c.Require(c.Shape(2).Count == hidden.Rows, $"{hidden.Rows} targets are needed, one per row of hidden");
        c.Require(op.Smoothing is >= 0 and < 1 && op.SoftCap >= 0, "smoothing must be in [0, 1) and the soft cap not negative");
        c.Require(weight[0] > 0 || hidden.Rows == 0, "the vocabulary is empty");
        Shape rows = hidden.WithoutLast();
        DType statistics = type == DType.F64 ? DType.F64 : DType.F32;
        c.Output(rows, statistics);
        if (op.LogSumExp)
        {
            c.Output(rows, statistics);
        }

        if (c.Plans == DeviceKind.Cuda)
        {
            c.Workspace(SelectedLogProbCuda.WorkspaceBytes(c.Input(0), c.Input(1)));
        }
        else if (type == DType.F32)
        {
            int count = checked((int)hidden.Rows);
            c.Workspace(SelectedLogProbKernel.WorkspaceBytes(count, hidden.Last, weight[0], op.Keeps(c.Needs)));
            if (op.Keeps(c.Needs))
            {
                c.Save(new Shape(SelectedLogProbKernel.KeptCount(count, weight[0])), type);
            }
        }

        if (op.Unit(c.Needs, type))
        {
            c.Save(hidden, type);
        }
    }

    /// <inheritdoc/>
    public static Tensor Reference(in SelectedLogProb op, Tape t, ReadOnlySpan<Tensor> x)
    {
        ArgumentNullException.ThrowIfNull(t);
        return t.Apply(op, x);
    }

    /// <inheritdoc/>
    public static unsafe void Forward(in SelectedLogProb op, CpuCall c)
    {
        Tensor logProb = c.Output;
        if (logProb.DType == DType.F64)
        {
            Doubles(op, c.Input(0), c.Input(1), c.Input(2)).Forward(logProb.Pointer<double>(), op.LogSumExp ? c.OutputAt(1).Pointer<double>() : null);
            return;
        }

        float* unit = op.Unit(c.Needs, logProb.DType) ? c.Saved().Pointer<float>() : null;
        float* kept = op.Keeps(c.Needs) ? c.Saved().Pointer<float>() : null;
        float* logSumExp = op.LogSumExp ? c.OutputAt(1).Pointer<float>() : null;
        Kernel(op, c.Input(0), c.Input(1), c.Input(2), c.WorkspacePointer(), kept).Forward(c.Team, logProb.Pointer<float>(), logSumExp, unit);
    }

    /// <inheritdoc/>
    public static void Forward(in SelectedLogProb op, CudaCall c)
    {
        SelectedLogProbCuda kernel = new(c.Device, op, c.Input(0), c.Input(1), c.Input(2), c.Workspace);
        kernel.Forward(c.Output, op.LogSumExp ? c.OutputAt(1) : null, op.Unit(c.Needs, c.Input(0).DType) ? c.Saved() : null);
    }

    /// <inheritdoc/>
    public static Saves Saves(in SelectedLogProb op, Needs needs) => op.Unit(needs, DType.F32) || op.Keeps(needs)
        ? Runtime.Saves.Nothing.Extra().Input(0).Input(1).Input(2)
        : Runtime.Saves.Nothing.Input(0).Input(1).Input(2);

    /// <inheritdoc/>
    public static unsafe void Backward(in SelectedLogProb op, BackwardCall c)
    {
        TensorSpec hidden = c.InputSpec(0);
        int rows = checked((int)hidden.Shape.Rows);
        int width = hidden.Shape.Last;
        Tensor? own = c.OutputGradientAt(0);
        Tensor? other = op.LogSumExp ? c.OutputGradientAt(1) : null;
        bool accumulateHidden = false, accumulateWeight = false;
        Tensor? dHidden = c.Needs(0) ? c.Target(0, out accumulateHidden) : null;
        Tensor? dWeight = c.Needs(1) ? c.Target(1, out accumulateWeight) : null;
        bool doubles = hidden.DType == DType.F64;
        Needs needs = new((c.Needs(0) ? 1u : 0) | (c.Needs(1) ? 2u : 0));
        if (!doubles && op.Unit(needs, hidden.DType))
        {
            if (c.OnCpu)
            {
                SelectedLogProbKernel.ScaleRows(c.Team, rows, width, own!.Pointer<float>(), c.Saved().Pointer<float>(), dHidden!.Pointer<float>(), accumulateHidden);
            }
            else if (c.OnCuda)
            {
                SelectedLogProbCuda.ScaleRows(c.Cuda, own!, c.Saved(), dHidden!, accumulateHidden);
            }

            return;
        }

        if (c.Plans == DeviceKind.Cuda)
        {
            Tensor? scratch = Products.Temporary(c, SelectedLogProbCuda.WorkspaceBytes(hidden, c.InputSpec(1), dWeight?.Spec));
            if (c.OnCuda)
            {
                new SelectedLogProbCuda(c.Cuda, op, c.Input(0), c.Input(1), c.Input(2), scratch).Backward(own, other, dHidden, accumulateHidden, dWeight, accumulateWeight);
            }

            return;
        }

        int vocabulary = c.InputSpec(1).Shape[0];
        long most = doubles ? 0 : SelectedLogProbKernel.WorkspaceBytes(rows, width, vocabulary, kept: true);
        long bytes = most + (own is null ? 4L * rows : 0);
        Tensor? workspace = doubles ? null : c.Tape.Arena.Scratch(bytes);
        if (!c.OnCpu)
        {
            return;
        }

        if (!accumulateHidden)
        {
            dHidden?.Clear();
        }

        if (doubles)
        {
            if (!accumulateWeight)
            {
                dWeight?.Clear();
            }

            Doubles(op, c.Input(0), c.Input(1), c.Input(2)).Backward(
                own is null ? null : own.Pointer<double>(), other is null ? null : other.Pointer<double>(),
                dHidden is null ? null : dHidden.Pointer<double>(), dWeight is null ? null : dWeight.Pointer<double>());
            return;
        }

        byte* memory = workspace!.RawPointer();
        float* coefficients = own is null ? (float*)(memory + most) : own.Pointer<float>();
        if (own is null)
        {
            new Span<float>(coefficients, rows).Clear();
        }

        Kernel(op, c.Input(0), c.Input(1), c.Input(2), memory, c.Saved().Pointer<float>()).Backward(
            c.Team, coefficients, other is null ? null : other.Pointer<float>(),
            dHidden is null ? null : dHidden.Pointer<float>(), dWeight is null ? null : dWeight.Pointer<float>(), accumulateWeight);
    }

    /// <inheritdoc/>
    public static OpCost Cost(in SelectedLogProb op, CostCall c)
    {
        long product = 2 * c.Input(0).Shape.Rows * c.Input(1).Shape.Count;
        bool unit = op.Unit(c.Needs, c.Input(0).DType);
        if (!c.IsBackward)
        {
            return c.Once(unit ? 2 * product : product);
        }

        if (unit)
        {
            return new OpCost(2 * c.Input(0).Bytes);
        }

        int rows = checked((int)c.Input(0).Shape.Rows), chunk = SelectedLogProbKernel.ChunkRows(rows, c.Input(1).Shape[0]);
        double again = rows == 0 ? 0 : (double)((rows - 1) / chunk * chunk) / rows;
        return c.Once((long)(product * (again + c.Products(0, 1))));
    }

    // The gradient of a row is its coefficient times a vector that forward can make.
    private bool Unit(Needs needs, DType type) => needs[0] && !needs[1] && !LogSumExp && type != DType.F64;

    // On the CPU, in F32: the logits of the last chunk stay where they are made until backward.
    private bool Keeps(Needs needs) => (needs[0] || needs[1]) && !Unit(needs, DType.F32);

    private static unsafe SelectedLogProbKernel Kernel(in SelectedLogProb op, Tensor hidden, Tensor weight, Tensor targets, byte* workspace, float* kept) => new()
    {
        Hidden = hidden.Pointer<float>(),
        Weight = weight.RawPointer(),
        WeightType = OperandTypes.Of(weight.DType),
        Targets = targets.Pointer<int>(),
        Rows = checked((int)hidden.Shape.Rows),
        Width = hidden.Shape.Last,
        Vocabulary = weight.Shape[0],
        Smoothing = op.Smoothing,
        SoftCap = op.SoftCap,
        Workspace = workspace,
        Kept = kept,
    };

    private static unsafe SelectedLogProbDouble Doubles(in SelectedLogProb op, Tensor hidden, Tensor weight, Tensor targets) => new()
    {
        Hidden = hidden.Pointer<double>(),
        Weight = weight.Pointer<double>(),
        Targets = targets.Pointer<int>(),
        Rows = checked((int)hidden.Shape.Rows),
        Width = hidden.Shape.Last,
        Vocabulary = weight.Shape[0],
        Smoothing = op.Smoothing,
        SoftCap = op.SoftCap,
    };
}

/// <summary>Output heads on a tape.</summary>
public static class SelectedLogProbExtensions
{
    extension(Tape t)
    {
        /// <summary>log softmax(hidden·Wᵀ) at the targets, 0 for negative ones: hidden (..., C), weight (V, C), targets (...) I32 to (...). See <see cref="Runtime.SelectedLogProb"/>.</summary>
        public Tensor SelectedLogProb(Tensor hidden, Tensor weight, Tensor targets, float smoothing = 0, float softCap = 0)
        {
            return t.Apply(new SelectedLogProb(smoothing, softCap, false), hidden, weight, targets);
        }

        /// <summary>The same with the logarithm of each row's sum of exponentials, for losses that need it (z-loss, energy).</summary>
        public (Tensor LogProb, Tensor LogSumExp) SelectedLogProbAndSum(Tensor hidden, Tensor weight, Tensor targets, float smoothing = 0, float softCap = 0)
        {
            Tensor[] both = t.ApplyAll(new SelectedLogProb(smoothing, softCap, true), hidden, weight, targets);
            return (both[0], both[1]);
        }
    }
}
