namespace Graft.Runtime.Cpu;

/// <summary>One product in the terms of the microkernels: packs pieces of its operands into row and column panels and multiplies blocks of panels into C.</summary>
/// <remarks>
/// Rows and columns are those of the microkernel: M and N, or exchanged with <see cref="Swap"/>. A second term is the continuation of the summed
/// dimension: positions from K on belong to it. Row <c>at</c> of a block of depth <c>d</c> begins at <c>at · d</c> of its packed memory if it begins a
/// panel, and so does a column.
/// </remarks>
internal readonly unsafe struct GemmOperands(GemmCall c, bool swap)
{
    private readonly GemmCall _c = c;

    /// <summary>The rows of the microkernel run along N: better where N is far below the width of a column panel.</summary>
    public bool Swap { get; } = swap;

    /// <summary>Packs the rows <paramref name="at"/>.. of positions <paramref name="k"/>.. of the summed dimension.</summary>
    public void PackRows(float* panels, int item, int k, int depth, int at, int count)
    {
        if (Swap)
        {
            PackB(panels, item, k, depth, at, count, byRows: true);
        }
        else
        {
            PackA(panels, item, k, depth, at, count, byRows: true);
        }
    }

    /// <summary>Packs the columns <paramref name="at"/>.. of positions <paramref name="k"/>.. of the summed dimension.</summary>
    public void PackColumns(float* panels, int item, int k, int depth, int at, int count)
    {
        if (Swap)
        {
            PackA(panels, item, k, depth, at, count, byRows: false);
        }
        else
        {
            PackB(panels, item, k, depth, at, count, byRows: false);
        }
    }

    /// <summary>Where a block lies in C.</summary>
    public float* At(int item, int row, int column) => _c.C + (item * _c.StrideC) + ((Swap ? column : row) * _c.LeadingC) + (Swap ? row : column);

    /// <summary>Applies beta and bias to a block of C, if that takes a pass of its own; true if products must be added to what is there.</summary>
    public bool Prepare(int item, int row, int column, int rows, int columns, bool empty)
    {
        if (!empty && _c.Bias == null && _c.Beta is 0 or 1)
        {
            return _c.Beta != 0;
        }

        float* bias = _c.Bias == null ? null : _c.Bias + (Swap ? row : column);
        Gemm.Prepare(At(item, row, column), _c.LeadingC, Swap ? columns : rows, Swap ? rows : columns, _c.Beta, bias);
        return true;
    }

    /// <summary>C = or += packed rows times packed columns.</summary>
    /// <param name="rowPanels">Row panels of this block.</param>
    /// <param name="columnPanels">Column panels of this block.</param>
    /// <param name="depth">Length of both.</param>
    /// <param name="rows">Rows of the block.</param>
    /// <param name="columns">Columns of the block.</param>
    /// <param name="c">The block of C.</param>
    /// <param name="edge">Room for one tile of the microkernel.</param>
    /// <param name="accumulate">Adds to C.</param>
    public void Multiply(float* rowPanels, float* columnPanels, int depth, int rows, int columns, float* c, float* edge, bool accumulate)
    {
        int width = Microkernel.Columns;
        for (int column = 0; column < columns; column += width, columnPanels += (long)width * depth)
        {
            int filledColumns = Math.Min(width, columns - column);
            float* rowPanel = rowPanels;
            for (int row = 0; row < rows;)
            {
                int height = Microkernel.PanelRows(rows - row);
                int filledRows = Math.Min(height, rows - row);
                if (Swap)
                {
                    Microkernel.Run(height, depth, rowPanel, height, columnPanels, edge, width, accumulate: false);
                    MergeTransposed(edge, width, filledRows, filledColumns, c + (column * _c.LeadingC) + row, _c.LeadingC, accumulate);
                }
                else if (filledColumns == width && filledRows == height)
                {
                    Microkernel.Run(height, depth, rowPanel, height, columnPanels, c + (row * _c.LeadingC) + column, _c.LeadingC, accumulate);
                }
                else
                {
                    Microkernel.Run(height, depth, rowPanel, height, columnPanels, edge, width, accumulate: false);
                    Gemm.Merge(edge, width, filledRows, filledColumns, c + (row * _c.LeadingC) + column, _c.LeadingC, accumulate);
                }

                rowPanel += (long)height * depth;
                row += height;
            }
        }
    }

    private void PackA(float* panels, int item, int k, int depth, int at, int count, bool byRows)
    {
        int first = Math.Clamp(_c.K - k, 0, depth);
        if (first > 0)
        {
            long offset = (item * _c.StrideA) + (_c.TransposeA ? (k * _c.LeadingA) + at : (at * _c.LeadingA) + k);
            PanelPacking.Pack(_c.TypeA, panels, _c.A, offset, _c.LeadingA, across: !_c.TransposeA, 0, first, depth, count, byRows, _c.Alpha);
        }

        if (first < depth)
        {
            long offset = (at * _c.Second.LeadingA) + k + first - _c.K;
            PanelPacking.Pack(_c.Second.TypeA, panels, _c.Second.A, offset, _c.Second.LeadingA, across: true, first, depth - first, depth, count, byRows, _c.Second.Alpha);
        }
    }

    private void PackB(float* panels, int item, int k, int depth, int at, int count, bool byRows)
    {
        int first = Math.Clamp(_c.K - k, 0, depth);
        if (first > 0)
        {
            long offset = (item * _c.StrideB) + (_c.TransposeB ? (at * _c.LeadingB) + k : (k * _c.LeadingB) + at);
            PanelPacking.Pack(_c.TypeB, panels, _c.B, offset, _c.LeadingB, across: _c.TransposeB, 0, first, depth, count, byRows, 1);
        }

        if (first < depth)
        {
            long offset = (at * _c.Second.LeadingB) + k + first - _c.K;
            PanelPacking.Pack(_c.Second.TypeB, panels, _c.Second.B, offset, _c.Second.LeadingB, across: true, first, depth - first, depth, count, byRows, 1);
        }
    }

    private static void MergeTransposed(float* tile, long width, int rows, int columns, float* c, long ldc, bool accumulate)
    {
        for (int j = 0; j < columns; j++, c += ldc)
        {
            float* from = tile + j;
            if (accumulate)
            {
                for (int i = 0; i < rows; i++, from += width)
                {
                    c[i] = *from + c[i];
                }
            }
            else
            {
                for (int i = 0; i < rows; i++, from += width)
                {
                    c[i] = *from;
                }
            }
        }
    }
}
