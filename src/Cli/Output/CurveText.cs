using System.Globalization;
using System.Text;

namespace Graft.Cli.Output;

/// <summary>The loss curve small, for a terminal: `·` training, `o` evaluation.</summary>
internal static class CurveText
{
    private const int Columns = 60;
    private const int Rows = 8;

    public static string Render(Curve curve)
    {
        (double left, double right, double bottom, double top) = curve.Frame();
        char[][] cells = [.. Enumerable.Range(0, Rows).Select(_ => new string(' ', Columns).ToCharArray())];
        Draw(curve.Training, '·');
        Draw(curve.Evaluation, 'o');
        StringBuilder text = new();
        for (int row = 0; row < Rows; row++)
        {
            double loss = top - ((top - bottom) * (row + 0.5) / Rows);
            text.Append(CultureInfo.InvariantCulture, $"{loss,9:0.000} |").Append(new string(cells[row]).TrimEnd()).Append('\n');
        }

        text.Append(CultureInfo.InvariantCulture, $"          +{new string('-', Columns)}\n           {left,-8:0}{right,Columns - 8:0}\n");
        text.Append("           · training loss   o evaluation loss, by optimizer step\n");
        return text.ToString();

        void Draw(Series series, char mark)
        {
            foreach ((double step, double loss) in series.Points)
            {
                int column = Math.Clamp((int)((step - left) / (right - left) * (Columns - 1)), 0, Columns - 1);
                int row = Math.Clamp((int)((top - loss) / (top - bottom) * Rows), 0, Rows - 1);
                cells[row][column] = mark;
            }
        }
    }
}
