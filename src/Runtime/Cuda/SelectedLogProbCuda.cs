namespace Graft.Runtime;

/// <summary>Log-probabilities of given tokens under softmax(hidden·Wᵀ) on a CUDA device, some rows of logits at a time.</summary>
/// <remarks>
/// A chunk of R rows: logits (R, V) F32 by a product, one kernel over its rows that also overwrites them by slopes in the type of hidden, then slopes·W to the hidden
/// gradient and slopesᵀ·hidden to the weight's, which adds the chunks in order. A W of another type is cast to that of hidden once per call. Which rows have a target
/// the host does not know, so the others take part with slopes of zero.
/// R: logits of 256 MiB at most, 256 rows at least. At C = 4096, V = 128,256 and 8192 rows in bf16 that is 512 rows, 250 MiB, 16 chunks: with the saved gradient and
/// that of hidden (64 MiB each) 0.37 GiB, where eager PyTorch holds logits (2.0 GiB), their F32 copy, its log-softmax and its gradient (3.9 GiB each), 13.7 GiB in
/// all, or 5.9 GiB all in bf16: 3 to 6 %. A chunk's product is 2·R flop per element of W, so R flop per byte of it in bf16: at 512 above the 206 to 295 that an H200
/// and an H100 need to be bound by arithmetic, at 256 about there.
/// </remarks>
internal readonly struct SelectedLogProbCuda
{
    private const long MostLogits = 256 << 20;
    private const int LeastRows = 256;
    private const int MostRows = 8192;
    private const int RowStep = 128; // whole tiles of the matrix product
    private const int ColumnStep = 8; // rows of logits at multiples of 32 bytes
    private const int Block = 512; // as in selected_log_prob.cu
    private static readonly Kernel s_forward = new("selected_log_prob", "selected_log_prob_forward");
    private static readonly Kernel s_slopes = new("selected_log_prob", "selected_log_prob_slopes");
    private static readonly Kernel s_scale = new("selected_log_prob", "selected_log_prob_scale");
    private static readonly Kernel s_scaleWidened = new("selected_log_prob", "selected_log_prob_scale_widened");

    private readonly CudaDevice _device;
    private readonly SelectedLogProb _op;
    private readonly Tensor _targets;
    private readonly CudaMatrix _hidden; // (N, C)
    private readonly CudaMatrix _weight; // (V, C), in the type of hidden
    private readonly nint _logits;
    private readonly nint _gradient; // F32 (V, C), where the weight's gradient is BF16
    private readonly int _chunk;

    public SelectedLogProbCuda(CudaDevice device, in SelectedLogProb op, Tensor hidden, Tensor weight, Tensor targets, Tensor? workspace)
    {
        _device = device;
        _op = op;
        _targets = targets;
        int rows = checked((int)hidden.Shape.Rows), width = hidden.Shape.Last, vocabulary = weight.Shape[0];
        _chunk = ChunkRows(rows, vocabulary);
        _hidden = new CudaMatrix(hidden.DevicePointer(), hidden.DType, rows, width, width);
        _logits = workspace is null ? 0 : workspace.DevicePointer();
        nint free = _logits + (nint)LogitsBytes(rows, vocabulary);
        nint w = rows == 0 ? 0 : ProductsCuda.Cast(device, weight, hidden.DType, ref free);
        _weight = new CudaMatrix(w, hidden.DType, vocabulary, width, width);
        _gradient = free;
    }

    /// <summary>Rows of logits that are held at a time: even chunks, so that the last is not a sliver.</summary>
    public static int ChunkRows(int rows, int vocabulary)
    {
        long most = Math.Clamp(MostLogits / (sizeof(float) * Leading(Math.Max(1, vocabulary))), LeastRows, MostRows) / RowStep * RowStep;
        if (rows <= most)
        {
            return Math.Max(1, rows);
        }

        long chunks = (rows + most - 1) / most;
        long even = (rows + chunks - 1) / chunks;
        return (int)((even + RowStep - 1) / RowStep * RowStep);
    }

    /// <summary>Bytes of workspace of a forward or a backward: a chunk of logits, W in another type where it must be cast, and its gradient in F32 where that is BF16.</summary>
    public static long WorkspaceBytes(TensorSpec hidden, TensorSpec weight, TensorSpec? gradient = null)
    {
        int rows = checked((int)hidden.Shape.Rows);
        long sums = gradient is { } spec ? ProductsCuda.CastBytes(spec, DType.F32) : 0;
        return rows == 0 ? 0 : LogitsBytes(rows, weight.Shape[0]) + ProductsCuda.CastBytes(weight, hidden.DType) + sums;
    }

    /// <summary>logp (N), and where asked for lse (N) and the gradient of each logp with respect to its own hidden row, unit (N, C).</summary>
    public void Forward(Tensor logProb, Tensor? logSumExp, Tensor? unit)
    {
        for (int from = 0; from < _hidden.Rows; from += _chunk)
        {
            int rows = Math.Min(_chunk, _hidden.Rows - from);
            Logits(from, rows);
            nint lse = At(logSumExp, from);
            if (unit is null)
            {
                _device.Launch(
                    s_forward, new LaunchShape(rows, Block), _logits, Leading(_weight.Rows), At(_targets, from), At(logProb, from), lse,
                    _weight.Rows, _op.Smoothing, _op.SoftCap, _device.ErrorFlag);
            }
            else
            {
                RowSlopes(from, rows, At(logProb, from), lse, 0, 0, true);
                HiddenGradient(rows, Whole(unit).Part(from, rows), false);
            }
        }
    }

    /// <summary>Gradients of Σ own·logp + other·lse, those that have a tensor.</summary>
    public void Backward(Tensor? own, Tensor? other, Tensor? dHidden, bool accumulateHidden, Tensor? dWeight, bool accumulateWeight)
    {
        if (_hidden.Rows == 0)
        {
            if (!accumulateWeight)
            {
                dWeight?.Clear();
            }

            return;
        }

        // Chunks are added in F32.
        CudaMatrix weightGradient = default;
        if (dWeight is not null)
        {
            nint free = _gradient;
            nint sums = accumulateWeight || dWeight.DType == DType.F32 ? ProductsCuda.Cast(_device, dWeight, DType.F32, ref free) : _gradient;
            weightGradient = new CudaMatrix(sums, DType.F32, _weight.Rows, _weight.Columns, _weight.Columns);
        }

        for (int from = 0; from < _hidden.Rows; from += _chunk)
        {
            int rows = Math.Min(_chunk, _hidden.Rows - from);
            Logits(from, rows);
            RowSlopes(from, rows, 0, 0, At(own, from), At(other, from), false);
            if (dWeight is not null)
            {
                ProductsCuda.Multiply(_device, Slopes(rows).Turned(), _hidden.Part(from, rows), weightGradient, accumulateWeight || from > 0);
            }

            if (dHidden is not null)
            {
                HiddenGradient(rows, Whole(dHidden).Part(from, rows), accumulateHidden);
            }
        }

        if (dWeight is { DType: DType.BF16 })
        {
            ProductsCuda.Round(_device, weightGradient.Address, dWeight);
        }
    }

    /// <summary>dHidden = or += coefficient · unit, row by row.</summary>
    public static void ScaleRows(CudaDevice device, Tensor coefficients, Tensor unit, Tensor dHidden, bool accumulate)
    {
        long count = unit.Shape.Count;
        LaunchShape shape = LaunchShape.Over((count * unit.DType.Size() + 15) / 16);
        if (unit.DType == dHidden.DType)
        {
            device.Launch(s_scale, unit.DType, shape, unit, coefficients, dHidden, count, unit.Shape.Last, accumulate);
        }
        else
        {
            // The gradient of a parameter is F32 whatever the parameter is.
            device.Launch(s_scaleWidened, shape, unit, coefficients, dHidden, count, unit.Shape.Last, accumulate);
        }
    }

    private static long Leading(int vocabulary) => (vocabulary + ColumnStep - 1) / ColumnStep * ColumnStep;

    private static long LogitsBytes(int rows, int vocabulary) => sizeof(float) * ChunkRows(rows, vocabulary) * Leading(vocabulary);

    private static nint At(Tensor? x, int element) => x is null ? 0 : x.DevicePointer() + (element * sizeof(int)); // F32 and I32 alike

    private static CudaMatrix Whole(Tensor x) => new(x.DevicePointer(), x.DType, checked((int)x.Shape.Rows), x.Shape.Last, x.Shape.Last);

    private void Logits(int from, int rows)
    {
        CudaMatrix logits = new(_logits, DType.F32, rows, _weight.Rows, Leading(_weight.Rows));
        ProductsCuda.Multiply(_device, _hidden.Part(from, rows), _weight.Turned(), logits);
    }

    // A row of BF16 slopes lies in the first half of its row of logits.
    private CudaMatrix Slopes(int rows) =>
        new(_logits, _hidden.DType, rows, _weight.Rows, Leading(_weight.Rows) * sizeof(float) / _hidden.DType.Size());

    private void RowSlopes(int from, int rows, nint logProb, nint logSumExp, nint own, nint other, bool unit) => _device.Launch(
        s_slopes, _hidden.DType, new LaunchShape(rows, Block), _logits, Leading(_weight.Rows), At(_targets, from), logProb, logSumExp, own, other, unit,
        _weight.Rows, _op.Smoothing, _op.SoftCap, _device.ErrorFlag);

    private void HiddenGradient(int rows, in CudaMatrix to, bool accumulate) => ProductsCuda.Multiply(_device, Slopes(rows), _weight, to, accumulate);
}
