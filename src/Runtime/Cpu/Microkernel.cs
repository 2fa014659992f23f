using System.Runtime.Intrinsics;

namespace Graft.Runtime.Cpu;

/// <summary>The widest microkernel of this processor and its block sizes.</summary>
internal static unsafe class Microkernel
{
    /// <summary>Most rows of a packed row panel.</summary>
    public static int MaxRows => Vector512.IsHardwareAccelerated ? 12 : 6;

    /// <summary>Row panels come in multiples of this, so that a last panel wastes less than it.</summary>
    public static int RowStep => Vector512.IsHardwareAccelerated ? 4 : 2;

    /// <summary>Columns of a packed column panel.</summary>
    public static int Columns => Vector512.IsHardwareAccelerated ? 32 : Vector256.IsHardwareAccelerated ? 16 : 8;

    /// <summary>C (rows x Columns, row stride <paramref name="ldc"/>) = or += rowPanel (k x rows, step apart) times columnPanel (k x Columns); rows is a multiple of <see cref="RowStep"/> up to <see cref="MaxRows"/>.</summary>
    public static void Run(int rows, int k, float* rowPanel, long step, float* columnPanel, float* c, long ldc, bool accumulate)
    {
        if (Vector512.IsHardwareAccelerated)
        {
            switch (rows)
            {
                case 12:
                    Microkernel512.Rows12(k, rowPanel, step, columnPanel, c, ldc, accumulate);
                    break;
                case 8:
                    Microkernel512.Rows8(k, rowPanel, step, columnPanel, c, ldc, accumulate);
                    break;
                default:
                    Microkernel512.Rows4(k, rowPanel, step, columnPanel, c, ldc, accumulate);
                    break;
            }
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            switch (rows)
            {
                case 6:
                    Microkernel256.Rows6(k, rowPanel, step, columnPanel, c, ldc, accumulate);
                    break;
                case 4:
                    Microkernel256.Rows4(k, rowPanel, step, columnPanel, c, ldc, accumulate);
                    break;
                default:
                    Microkernel256.Rows2(k, rowPanel, step, columnPanel, c, ldc, accumulate);
                    break;
            }
        }
        else
        {
            switch (rows)
            {
                case 6:
                    Microkernel128.Rows6(k, rowPanel, step, columnPanel, c, ldc, accumulate);
                    break;
                case 4:
                    Microkernel128.Rows4(k, rowPanel, step, columnPanel, c, ldc, accumulate);
                    break;
                default:
                    Microkernel128.Rows2(k, rowPanel, step, columnPanel, c, ldc, accumulate);
                    break;
            }
        }
    }

    /// <summary>The panel width for the rows that are left: <see cref="MaxRows"/>, or the rest rounded up to <see cref="RowStep"/>.</summary>
    public static int PanelRows(int left) => left >= MaxRows ? MaxRows : RoundUp(left, RowStep);

    /// <summary>The smallest multiple of <paramref name="step"/> that is not below <paramref name="value"/>.</summary>
    public static int RoundUp(int value, int step) => (value + step - 1) / step * step;
}
