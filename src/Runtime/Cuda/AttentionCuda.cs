namespace Graft.Runtime;

/// <summary>One attention as the kernels take it: sizes, and where queries, keys and values lie.</summary>
internal readonly record struct AttentionProblem(ScaledDotProductAttention Op, int Batch, int Queries, int Keys, int Room, int Size, DType Type)
{
    /// <summary>Key heads of one batch item.</summary>
    public int Group => Op.Heads / Op.KeyHeads;

    /// <summary>Elements from one token's queries to the next.</summary>
    public long QueryToken => (long)(Op.Packed ? Op.Heads + (2 * Op.KeyHeads) : Op.Heads) * Size;

    /// <summary>Elements from one token's keys to the next.</summary>
    public long KeyToken => Op.Packed ? QueryToken : (long)Op.KeyHeads * Size;

    /// <summary>The address of the queries (0), keys (1) or values (2) in a tensor, or in the gradient of one; 0 for none.</summary>
    public nint At(Tensor? x, int part)
    {
        long heads = !Op.Packed || part == 0 ? 0 : Op.Heads + ((part - 1) * Op.KeyHeads);
        return x is null ? 0 : x.DevicePointer() + (nint)(heads * Size * x.DType.Size());
    }
}

/// <summary>What backward reads and writes besides the forward's inputs; null where a gradient is not needed.</summary>
internal readonly record struct AttentionGradientTensors(
    Tensor OutputGradient, Tensor LogSumExp, Tensor Delta, Tensor? Query, bool AddQuery, Tensor? Key, bool AddKey, Tensor? Value, bool AddValue, Tensor? Sinks, bool AddSinks);

/// <summary>Which kernel runs an attention: see the files attention*.cu.</summary>
internal static class AttentionCuda
{
    private const int Tile = 64;
    private const int Columns = 128;

    /// <summary>Most queries of the kernel for decoding: it reads the keys once per query.</summary>
    private const int DecodeQueries = 4;

    /// <summary>DECODE_SPLIT of attention_decode.cu.</summary>
    private const int DecodeSplit = 512;

    private const int MaxArguments = 32;

    private static readonly Kernel s_forward = new("attention", "attention_forward");
    private static readonly Kernel s_decode = new("attention_decode", "attention_decode");
    private static readonly Kernel s_decodeMerge = new("attention_decode", "attention_decode_merge");
    private static readonly Kernel s_delta = new("attention_delta", "attention_delta");
    private static readonly Kernel s_dkDv = new("attention_backward", "attention_dk_dv");
    private static readonly Kernel s_dq = new("attention_backward", "attention_dq");
    private static readonly Kernel s_dsinks = new("attention_delta", "attention_dsinks");
    private static readonly TensorCores s_mma64 = new(64);
    private static readonly TensorCores s_mma128 = new(128);

    /// <summary>Bytes of forward's workspace: what the splits of decoding leave, if there are several.</summary>
    public static long WorkspaceBytes(in AttentionProblem p)
    {
        return Decodes(p) && Splits(p) > 1 ? sizeof(float) * (long)p.Batch * p.Queries * p.Op.Heads * Splits(p) * (p.Size + 2) : 0;
    }

    /// <summary>Writes out and, where asked for, lse.</summary>
    public static void Forward(CudaDevice device, in AttentionProblem p, Inputs x, Tensor output, Tensor? logSumExp, Tensor? workspace)
    {
        long rows = (long)p.Batch * p.Queries * p.Op.Heads;
        if (rows == 0)
        {
            return;
        }

        Span<KernelArgument> memory = stackalloc KernelArgument[MaxArguments];
        DType sinks = x.Sinks?.DType ?? DType.F32;
        bool aligned = IsAligned(p.At(x.Query, 0) | p.At(x.Key, 1) | p.At(x.Value, 2) | output.DevicePointer());
        if (Decodes(p) && aligned)
        {
            int splits = Splits(p);
            nint parts = splits > 1 ? workspace!.DevicePointer() : 0;
            nint sums = splits > 1 ? parts + (nint)(sizeof(float) * rows * splits * p.Size) : 0;
            device.Launch(s_decode, p.Type, new LaunchShape(rows, 256) { GridY = splits }, Join(memory, p, x, [x.Sinks, sinks, output, logSumExp, parts, sums]));
            if (splits > 1)
            {
                device.Launch(
                    s_decodeMerge, p.Type, new LaunchShape(rows, 128), parts, sums, splits, x.Sinks, sinks, output, logSumExp, p.Queries, p.Op.Heads, p.Size);
            }

            return;
        }

        long heads = (long)p.Batch * p.Op.Heads;
        TensorCores? mma = aligned ? OnTensorCores(p) : null;
        ReadOnlySpan<KernelArgument> arguments = Join(memory, p, x, [x.Sinks, sinks, output, logSumExp]);
        Launch(device, mma?.Forward, mma?.Tiles(heads, p.Queries, 128, 256), s_forward, p.Type, Tiles(heads, p.Queries, p.Size), arguments);
    }

    /// <summary>Writes, or adds to, the gradients that there are; of keys and values those of the S tokens.</summary>
    public static void Backward(CudaDevice device, in AttentionProblem p, Inputs x, Tensor output, in AttentionGradientTensors g)
    {
        long rows = (long)p.Batch * p.Queries * p.Op.Heads;
        Span<KernelArgument> memory = stackalloc KernelArgument[MaxArguments];
        if (rows > 0)
        {
            device.Launch(s_delta, p.Type, LaunchShape.Over(rows * 32), output, g.OutputGradient, g.Delta, p.Batch, p.Queries, p.Op.Heads, p.Size);
        }

        if (g.Sinks is not null)
        {
            LaunchShape shape = new(p.Op.Heads, 256);
            device.Launch(s_dsinks, shape, x.Sinks, x.Sinks!.DType, g.LogSumExp, g.Delta, g.Sinks, g.Sinks.DType, g.AddSinks, p.Batch, p.Queries, p.Op.Heads);
        }

        RequireType(p, g.Query);
        RequireType(p, g.Key);
        RequireType(p, g.Value);
        nint dq = p.At(g.Query, 0), dk = p.At(g.Key, 1), dv = p.At(g.Value, 2);
        nint places = p.At(x.Query, 0) | p.At(x.Key, 1) | p.At(x.Value, 2) | g.OutputGradient.DevicePointer() | dq | dk | dv;
        TensorCores? mma = IsAligned(places) ? OnTensorCores(p) : null;
        if (dk + dv != 0 && p.Batch > 0 && p.Keys > 0)
        {
            long heads = (long)p.Batch * p.Op.KeyHeads;
            ReadOnlySpan<KernelArgument> arguments = Join(memory, p, x, [g.OutputGradient, g.LogSumExp, g.Delta, dk, g.AddKey, dv, g.AddValue]);
            Launch(device, mma?.KeysAndValues, mma?.Tiles(heads, p.Keys, 256, 512), s_dkDv, p.Type, Tiles(heads, p.Keys, p.Size), arguments);
        }

        if (dq != 0 && rows > 0)
        {
            long heads = (long)p.Batch * p.Op.Heads;
            ReadOnlySpan<KernelArgument> arguments = Join(memory, p, x, [g.OutputGradient, g.LogSumExp, g.Delta, dq, g.AddQuery]);
            Launch(device, mma?.Queries, mma?.Tiles(heads, p.Queries, 128, 384), s_dq, p.Type, Tiles(heads, p.Queries, p.Size), arguments);
        }
    }

    // Kernels write gradients of the activations' type; those of a 16-bit parameter are F32, and a parameter is no activation.
    private static void RequireType(in AttentionProblem p, Tensor? gradient)
    {
        if (gradient is not null && gradient.DType != p.Type)
        {
            throw new DTypeException($"{ScaledDotProductAttention.Info.Name}: a gradient of {gradient.Spec} is wanted for a {p.Type.Name()} input; a parameter must be copied or cast before.");
        }
    }

    // The fast kernel where there is one, else the plain one.
    private static void Launch(
        CudaDevice device, Kernel? fast, LaunchShape? fastShape, Kernel plain, DType type, LaunchShape plainShape, ReadOnlySpan<KernelArgument> arguments)
    {
        if (fast is not null && fastShape is { } shape)
        {
            device.Launch(fast, shape, arguments);
        }
        else
        {
            device.Launch(plain, type, plainShape, arguments);
        }
    }

    private static LaunchShape Tiles(long heads, int tokens, int size) =>
        new(heads * ((tokens + Tile - 1) / Tile), 256) { GridY = (size + Columns - 1) / Columns };

    private static int Splits(in AttentionProblem p) => Math.Max(1, (p.Keys + DecodeSplit - 1) / DecodeSplit);

    // Rows of whole packs of 16 bytes, a warp's worth of them at most, and something to read where nothing is visible.
    private static bool Decodes(in AttentionProblem p)
    {
        int pack = 16 / p.Type.Size();
        return p.Queries <= DecodeQueries && p.Keys > 0 && p.Size % pack == 0 && p.Size <= 32 * pack;
    }

    private static bool IsAligned(nint addresses) => (addresses & 15) == 0;

    /// <summary>True where the kernels of attention_mma*.cu take it; the address is those of all operands, by or.</summary>
    public static bool HasTensorCores(in AttentionProblem p, nint address) => IsAligned(address) && OnTensorCores(p) is not null;

    private static TensorCores? OnTensorCores(in AttentionProblem p) =>
        p.Type != DType.BF16 || !(p.Op.Scale > 0) ? null : p.Size == 64 ? s_mma64 : p.Size == 128 ? s_mma128 : null;

    // ATTENTION_ARGUMENTS and ATTENTION_INPUTS of attention.cuh, then the kernel's own.
    private static ReadOnlySpan<KernelArgument> Join(Span<KernelArgument> memory, in AttentionProblem p, Inputs x, ReadOnlySpan<KernelArgument> own)
    {
        ReadOnlySpan<KernelArgument> common =
        [
            p.Batch, p.Queries, p.Keys, p.Op.Heads, p.Op.KeyHeads, p.Size, p.Op.Scale, p.Op.Causal, p.Op.Window, p.Op.SoftCap, x.Ranges,
            p.At(x.Query, 0), p.QueryToken * p.Queries, p.QueryToken, p.At(x.Key, 1), p.At(x.Value, 2), p.KeyToken * p.Room, p.KeyToken,
        ];
        common.CopyTo(memory);
        own.CopyTo(memory[common.Length..]);
        return memory[..(common.Length + own.Length)];
    }

    /// <summary>The kernels of attention_mma*.cu for one head size; each block has 128 tokens of one head.</summary>
    private sealed class TensorCores(int size)
    {
        public Kernel Forward { get; } = new("attention_mma", $"attention_mma_forward_{size}");

        public Kernel KeysAndValues { get; } = new("attention_mma_backward", $"attention_mma_dk_dv_{size}");

        public Kernel Queries { get; } = new("attention_mma_backward", $"attention_mma_dq_{size}");

        public LaunchShape Tiles(long heads, int tokens, int block, int sharedRows) =>
            new(heads * ((tokens + 127) / 128), block) { SharedBytes = sharedRows * size * sizeof(ushort) };
    }

    /// <summary>The inputs; query, key and value are one tensor where they are packed.</summary>
    public readonly record struct Inputs(Tensor Query, Tensor Key, Tensor Value, Tensor? Ranges, Tensor? Sinks);
}
