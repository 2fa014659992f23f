using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Graft.Runtime.Cpu;

/// <summary>Log-probabilities of given tokens under softmax(hidden·Wᵀ), some rows of logits at a time.</summary>
/// <remarks>
/// Rows whose target is negative are left out before any product, so a masked prompt costs nothing. Rows are gathered into a chunk, its logits are made, and
/// each row is read (forward) or overwritten by its slopes (backward). All chunks are made in the same place, so the logits of the last one are still there
/// after forward: where they are <see cref="Kept"/> backward begins with them, and up to <see cref="ChunkRows"/> rows never makes logits again.
/// Bytes of workspace: 4·(2·R·C + N), and 4·R·V for the logits unless they are kept, with R = <see cref="ChunkRows"/>.
/// </remarks>
internal readonly unsafe struct SelectedLogProbKernel
{
    private const long ChunkLogits = 16 << 20; // 64 MiB: W is packed once per chunk

    public required float* Hidden { get; init; }

    public required void* Weight { get; init; }

    public required OperandType WeightType { get; init; }

    public required int* Targets { get; init; }

    /// <summary>N.</summary>
    public required int Rows { get; init; }

    /// <summary>C.</summary>
    public required int Width { get; init; }

    /// <summary>V.</summary>
    public required int Vocabulary { get; init; }

    public required float Smoothing { get; init; }

    public required float SoftCap { get; init; }

    public required byte* Workspace { get; init; }

    /// <summary>Memory of <see cref="KeptCount"/> elements that lives from forward to backward, or null: then the logits stand in the workspace.</summary>
    public required float* Kept { get; init; }

    /// <summary>Rows of logits that are held at a time: even chunks, so that the last is not a sliver.</summary>
    public static int ChunkRows(int rows, int vocabulary)
    {
        int most = (int)Math.Clamp(ChunkLogits / Math.Max(1, vocabulary), 32, 1008);
        int chunks = Math.Max(1, (rows + most - 1) / most);
        return Math.Max(1, (rows + chunks - 1) / chunks);
    }

    /// <summary>Bytes at <see cref="Workspace"/>.</summary>
    public static long WorkspaceBytes(int rows, int width, int vocabulary, bool kept)
    {
        long chunk = ChunkRows(rows, vocabulary);
        return 4 * ((kept ? 0 : chunk * vocabulary) + (2 * chunk * width) + rows);
    }

    /// <summary>Elements at <see cref="Kept"/>: logits, the log-sum-exp of each row, and which chunk they are.</summary>
    public static int KeptCount(int rows, int vocabulary) => checked((ChunkRows(rows, vocabulary) * (vocabulary + 1)) + 1);

    /// <summary>logProb (N), and where asked for logSumExp (N) and the gradient of each logProb with respect to its own hidden row, unit (N, C).</summary>
    public void Forward(WorkerTeam team, float* logProb, float* logSumExp, float* unit)
    {
        new Span<float>(logProb, Rows).Clear();
        if (logSumExp != null)
        {
            new Span<float>(logSumExp, Rows).Clear();
        }

        int* counted = Counted(out int count);
        ClearOthers(unit);
        int chunkRows = ChunkRows(Rows, Vocabulary);
        for (int from = 0; from < count; from += chunkRows)
        {
            int rows = Math.Min(chunkRows, count - from);
            Logits(team, counted + from, rows);
            CpuKernel.Run(team, rows, new RowWork(this, counted + from, unit != null) { LogProb = logProb, LogSumExp = logSumExp });
            if (unit != null)
            {
                HiddenGradient(team, counted + from, rows, unit, false);
            }
        }

        if (Kept != null)
        {
            *KeptChunk = LastChunk(count);
        }
    }

    /// <summary>Adds coefficient·d logProb + other·d logSumExp to the gradients that have memory.</summary>
    /// <param name="team">The workers.</param>
    /// <param name="coefficients">Gradient of logProb (N).</param>
    /// <param name="others">Gradient of logSumExp (N), or null.</param>
    /// <param name="dHidden">(N, C), which the caller clears where it is to be overwritten; or null.</param>
    /// <param name="dWeight">(V, C), or null.</param>
    /// <param name="accumulateWeight">False overwrites dWeight.</param>
    public void Backward(WorkerTeam team, float* coefficients, float* others, float* dHidden, float* dWeight, bool accumulateWeight)
    {
        int* counted = Counted(out int count);
        int chunkRows = ChunkRows(Rows, Vocabulary);
        int last = LastChunk(count);
        if (count == 0 && dWeight != null && !accumulateWeight)
        {
            NativeMemory.Clear(dWeight, (nuint)Vocabulary * (nuint)Width * sizeof(float));
        }

        // The last chunk first, as long as its logits stand; the slopes are written over them, so another backward makes them again.
        bool made = Kept != null && *KeptChunk == last;
        for (int chunk = last; chunk >= 0; chunk--)
        {
            int* ids = counted + (chunk * chunkRows);
            int rows = Math.Min(chunkRows, count - (chunk * chunkRows));
            if (made)
            {
                Gather(ids, rows);
            }
            else
            {
                Logits(team, ids, rows);
            }

            CpuKernel.Run(team, rows, new RowWork(this, ids, true) { Made = made, Coefficients = coefficients, Others = others });
            made = false;
            if (dWeight != null)
            {
                Gemm.Run(team, new GemmCall
                {
                    M = Vocabulary,
                    N = Width,
                    K = rows,
                    A = LogitsAt,
                    LeadingA = Vocabulary,
                    TransposeA = true,
                    B = GatheredAt,
                    LeadingB = Width,
                    C = dWeight,
                    LeadingC = Width,
                    Beta = accumulateWeight ? 1 : 0,
                });
                accumulateWeight = true;
            }

            if (dHidden != null)
            {
                HiddenGradient(team, ids, rows, dHidden, true);
            }
        }

        if (Kept != null)
        {
            *KeptChunk = -1;
        }
    }

    /// <summary>dHidden = or += coefficient · unit, row by row.</summary>
    public static void ScaleRows(WorkerTeam team, int rows, int width, float* coefficients, float* unit, float* dHidden, bool accumulate)
    {
        ScaleWork work = new(rows, width, coefficients, unit, dHidden, accumulate);
        team.Run(WorkerTeam.ChunksFor(rows, ScaleWork.Rows), ref work);
    }

    private float* LogitsAt => Kept == null ? (float*)Workspace : Kept;

    private float* KeptSums => Kept + ((long)ChunkRows(Rows, Vocabulary) * Vocabulary);

    private int* KeptChunk => (int*)(KeptSums + ChunkRows(Rows, Vocabulary));

    private float* GatheredAt => (float*)Workspace + (Kept == null ? (long)ChunkRows(Rows, Vocabulary) * Vocabulary : 0);

    private float* GradientAt => GatheredAt + ((long)ChunkRows(Rows, Vocabulary) * Width);

    private int LastChunk(int counted) => ((counted + ChunkRows(Rows, Vocabulary) - 1) / ChunkRows(Rows, Vocabulary)) - 1;

    /// <summary>The rows that have a target.</summary>
    private int* Counted(out int count)
    {
        int* rows = (int*)(GradientAt + ((long)ChunkRows(Rows, Vocabulary) * Width));
        count = 0;
        for (int i = 0; i < Rows; i++)
        {
            if (Targets[i] >= Vocabulary)
            {
                throw new GraftException($"selected_log_prob: target {Targets[i]} of row {i} is not below the vocabulary's size {Vocabulary}; rows without a target have a negative one.");
            }

            if (Targets[i] >= 0)
            {
                rows[count++] = i;
            }
        }

        return rows;
    }

    private void ClearOthers(float* unit)
    {
        for (int i = 0; unit != null && i < Rows; i++)
        {
            if (Targets[i] < 0)
            {
                new Span<float>(unit + ((long)i * Width), Width).Clear();
            }
        }
    }

    private void Gather(int* rows, int count)
    {
        for (int i = 0; i < count; i++)
        {
            new ReadOnlySpan<float>(Hidden + ((long)rows[i] * Width), Width).CopyTo(new Span<float>(GatheredAt + ((long)i * Width), Width));
        }
    }

    private void Logits(WorkerTeam team, int* rows, int count)
    {
        Gather(rows, count);
        Gemm.Run(team, new GemmCall
        {
            M = count,
            N = Vocabulary,
            K = Width,
            A = GatheredAt,
            LeadingA = Width,
            B = Weight,
            LeadingB = Width,
            TransposeB = true,
            TypeB = WeightType,
            C = LogitsAt,
            LeadingC = Vocabulary,
        });
    }

    /// <summary>slopes·W into the rows of <paramref name="to"/>.</summary>
    private void HiddenGradient(WorkerTeam team, int* rows, int count, float* to, bool accumulate)
    {
        Gemm.Run(team, new GemmCall
        {
            M = count,
            N = Width,
            K = Vocabulary,
            A = LogitsAt,
            LeadingA = Vocabulary,
            B = Weight,
            LeadingB = Width,
            TypeB = WeightType,
            C = GradientAt,
            LeadingC = Width,
        });
        for (int i = 0; i < count; i++)
        {
            Gemm.Merge(GradientAt + ((long)i * Width), Width, 1, Width, to + ((long)rows[i] * Width), Width, accumulate);
        }
    }

    /// <summary>One row of logits per chunk: its sums, and its slopes in its place.</summary>
    private readonly struct RowWork(SelectedLogProbKernel kernel, int* rows, bool slopes) : ILanesWork
    {
        /// <summary>The logits are capped and the sums known, as forward left them.</summary>
        public bool Made { get; init; }

        public float* LogProb { get; init; }

        public float* LogSumExp { get; init; }

        public float* Coefficients { get; init; }

        public float* Others { get; init; }

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int row = rows[chunk];
            int target = kernel.Targets[row];
            float* z = kernel.LogitsAt + ((long)chunk * kernel.Vocabulary);
            float sum = Made ? kernel.KeptSums[chunk] : Sums<T>(z, row, target);
            if (slopes)
            {
                Slopes<T>(z, row, target, sum);
            }
            else if (kernel.Kept != null)
            {
                kernel.KeptSums[chunk] = sum;
            }
        }

        /// <summary>Caps the logits and writes what is asked for; their log-sum-exp.</summary>
        private float Sums<T>(float* z, int row, int target)
            where T : unmanaged, IFloatLanes<T>
        {
            int n = kernel.Vocabulary;
            if (kernel.SoftCap != 0)
            {
                Loops.Map<T, Cap>(z, z, n, new Cap(kernel.SoftCap));
            }

            (float max, double log) = ExpLoop.LogSum<T>(z, n);
            float sum = (float)(max + log);
            if (LogProb != null)
            {
                double smoothing = kernel.Smoothing;
                double selected = (1 - smoothing) * ((double)z[target] - max);
                if (smoothing > 0)
                {
                    selected -= smoothing / n * Loops.Sum<T, CrossEntropyKernel.Distance>(z, n, new CrossEntropyKernel.Distance(max));
                }

                LogProb[row] = (float)(selected - log);
            }

            if (LogSumExp != null)
            {
                LogSumExp[row] = sum;
            }

            return sum;
        }

        /// <summary>d logProb = (1 - ε)·[k = y] + ε/V - p, d logSumExp = p.</summary>
        private void Slopes<T>(float* z, int row, int target, float sum)
            where T : unmanaged, IFloatLanes<T>
        {
            int n = kernel.Vocabulary;
            float cap = kernel.SoftCap;
            double own = Coefficients == null ? 1 : Coefficients[row];
            double other = Others == null ? 0 : Others[row];
            float capped = z[target];
            CrossEntropyKernel.Slope slope = new(sum, (float)(other - own), (float)(-own * kernel.Smoothing / n));
            if (cap == 0)
            {
                Loops.Map<T, CrossEntropyKernel.Slope>(z, z, n, slope);
            }
            else
            {
                Loops.Map<T, CappedSlope>(z, z, n, new CappedSlope(slope, cap));
            }

            double ownSlope = cap == 0 ? 1 : 1 - ((double)capped / cap * (capped / cap));
            z[target] = (float)(z[target] + (own * (1 - kernel.Smoothing) * ownSlope));
        }
    }

    /// <summary>cap · tanh(z / cap).</summary>
    private readonly struct Cap(float cap) : IUnaryOperator
    {
        private readonly float _cap = cap;
        private readonly float _inverse = (float)(1.0 / cap);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
            => T.Of(_cap) * T.Tanh(x * T.Of(_inverse));
    }

    /// <summary>A slope with respect to a capped logit, times the slope of the cap there.</summary>
    private readonly struct CappedSlope(CrossEntropyKernel.Slope slope, float cap) : IUnaryOperator
    {
        private readonly CrossEntropyKernel.Slope _slope = slope;
        private readonly float _inverse = (float)(1.0 / cap);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
        {
            T ratio = x * T.Of(_inverse);
            return _slope.Invoke(x) * (T.Of(1) - (ratio * ratio));
        }
    }

    private readonly struct ScaleWork(int rows, int width, float* coefficients, float* unit, float* target, bool accumulate) : IChunkWork
    {
        public const int Rows = 32;

        public void Invoke(int chunk, int worker)
        {
            int end = Math.Min(rows, (chunk + 1) * Rows);
            for (int i = chunk * Rows; i < end; i++)
            {
                ReadOnlySpan<float> from = new(unit + ((long)i * width), width);
                Span<float> to = new(target + ((long)i * width), width);
                if (accumulate)
                {
                    System.Numerics.Tensors.TensorPrimitives.MultiplyAdd(from, coefficients[i], to, to);
                }
                else
                {
                    System.Numerics.Tensors.TensorPrimitives.Multiply(from, coefficients[i], to);
                }
            }
        }
    }
}
