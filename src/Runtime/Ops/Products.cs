using Graft.Runtime.Cpu;

namespace Graft.Runtime;

/// <summary>A stored matrix inside a tensor: its elements' type, row length and orientation.</summary>
internal readonly unsafe struct Matrix(Tensor tensor, int rows, int columns, bool transposed = false, long stride = 0, BlockType blocks = BlockType.None)
{
    /// <summary>Rows and columns as stored.</summary>
    public int Rows { get; } = rows;

    public int Columns { get; } = columns;

    /// <summary>The product reads it with rows and columns exchanged.</summary>
    public bool Transposed { get; } = transposed;

    /// <summary>Elements from one matrix of a batch to the next.</summary>
    public long Stride { get; } = stride;

    public Tensor Tensor => tensor;

    public DType DType => tensor.DType;

    /// <summary>How the CPU reads its elements.</summary>
    public OperandType Type => OperandTypes.Of(tensor.DType, blocks);

    public void* Pointer => tensor.RawPointer();

    public int OuterLength => Transposed ? Columns : Rows;

    public int InnerLength => Transposed ? Rows : Columns;
}

/// <summary>Matrix products on tensors. On the CPU F32 and BF16 by the packed kernels, F64 by plain loops; on CUDA by <see cref="ProductsCuda"/>.</summary>
internal static unsafe class Products
{
    /// <summary>The types of weights, factors and biases beside an activation: its own and, with <paramref name="half"/>, BF16; on CUDA F32 and BF16 beside either.</summary>
    public static void RequireWeight(ref InferCall c, int i, DType activation, bool half = true)
    {
        if (c.Plans == DeviceKind.Cuda)
        {
            c.RequireType(i, DType.F32, DType.BF16);
        }
        else
        {
            c.RequireType(i, activation, half && activation == DType.F32 ? DType.BF16 : null);
        }
    }

    /// <summary>In a backward, on the device at hand: c = alpha·op(a)·op(b) + (accumulate ? c : 0). Takes a temporary where the device casts an operand.</summary>
    public static void Run(BackwardCall call, Matrix a, Matrix b, Matrix c, bool accumulate = false, float alpha = 1, int batch = 1)
    {
        if (call.OnCpu)
        {
            Run(call.Team, a, b, c, accumulate, alpha, batch: batch);
        }
        else if (call.Plans == DeviceKind.Cuda)
        {
            Tensor? workspace = Temporary(call, ProductsCuda.CastBytes(a.Tensor.Spec, b.Tensor.Spec, c.Tensor.Spec));
            if (call.OnCuda)
            {
                ProductsCuda.Run(call.Cuda, a, b, c, workspace, accumulate, alpha, batch: batch);
            }
        }
    }

    /// <summary>In a backward, on the device at hand: sums (columns) = or += the sum of the rows of x.</summary>
    public static void SumRows(BackwardCall call, Tensor x, Tensor sums, bool accumulate)
    {
        if (call.OnCpu)
        {
            SumRows(call.Team, x, sums, accumulate);
        }
        else if (call.Plans == DeviceKind.Cuda)
        {
            long floats = ReduceCuda.Workspace(ReduceCuda.RowsOf(x.Shape, checked((int)sums.Shape.Count)));
            Tensor? workspace = Temporary(call, sizeof(float) * floats);
            if (call.OnCuda)
            {
                ReduceCuda.SumRows(call.Cuda, x, sums, workspace, accumulate);
            }
        }
    }

    /// <summary>Scratch of a backward; none where none is needed.</summary>
    public static Tensor? Temporary(BackwardCall call, long bytes) => bytes == 0 ? null : call.Tape.Arena.Scratch(bytes);

    /// <summary>c = alpha·op(a)·op(b) + branch + (accumulate ? c : 0) + bias.</summary>
    public static void Run(
        WorkerTeam team, Matrix a, Matrix b, Matrix c, bool accumulate = false, float alpha = 1, Tensor? bias = null, int batch = 1, Branch? branch = null)
    {
        GemmCall call = new()
        {
            M = c.Rows,
            N = c.Columns,
            K = a.InnerLength,
            A = a.Pointer,
            LeadingA = a.Columns,
            TransposeA = a.Transposed,
            TypeA = a.Type,
            StrideA = a.Stride,
            B = b.Pointer,
            LeadingB = b.Columns,
            TransposeB = b.Transposed,
            TypeB = b.Type,
            StrideB = b.Stride,
            C = (float*)c.Pointer,
            LeadingC = c.Columns,
            StrideC = c.Stride,
            Alpha = alpha,
            Beta = accumulate ? 1 : 0,
            Bias = bias == null ? null : (float*)bias.RawPointer(),
            Batch = batch,
            Second = branch?.Term ?? default,
        };
        if (c.DType == DType.F64)
        {
            GemmDouble.Run(team, call);
        }
        else
        {
            Gemm.Run(team, call);
        }
    }

    /// <summary>The low-rank side of a linear layer: scale·u·upᵀ.</summary>
    /// <param name="U">u (rows, r).</param>
    /// <param name="Up">up (out, r), read transposed.</param>
    /// <param name="Scale">The scale.</param>
    public readonly record struct Branch(Matrix U, Matrix Up, float Scale)
    {
        /// <summary>As a second term of a product on the CPU.</summary>
        public GemmTerm Term => new()
        {
            K = U.Columns,
            A = U.Pointer,
            TypeA = OperandTypes.Of(U.DType),
            LeadingA = U.Columns,
            B = Up.Pointer,
            TypeB = OperandTypes.Of(Up.DType),
            LeadingB = Up.Columns,
            Alpha = Scale,
        };
    }

    /// <summary>sums (columns) = or += the sum of the rows of x.</summary>
    public static void SumRows(WorkerTeam team, Tensor x, Tensor sums, bool accumulate)
    {
        int columns = checked((int)sums.Shape.Count);
        long rows = columns == 0 ? 0 : x.Shape.Count / columns;
        if (x.DType == DType.F64)
        {
            ColumnSums.Run(x.Pointer<double>(), rows, columns, sums.Pointer<double>(), accumulate);
        }
        else
        {
            ColumnSums.Run(team, x.Pointer<float>(), rows, columns, sums.Pointer<float>(), accumulate);
        }
    }
}
