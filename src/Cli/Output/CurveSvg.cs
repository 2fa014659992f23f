using System.Globalization;
using System.Text;

namespace Graft.Cli.Output;

/// <summary>The loss curve as SVG, written by hand: needs no native library, and the same run gives the same bytes.</summary>
internal static class CurveSvg
{
    private const int Width = 800;
    private const int Height = 450;
    private const int Left = 70;
    private const int Right = 20;
    private const int Top = 40;
    private const int Bottom = 50;
    private const int Ticks = 5;

    public static string Render(Curve curve, string title)
    {
        (double left, double right, double bottom, double top) = curve.Frame();
        StringBuilder svg = new();
        svg.Append(CultureInfo.InvariantCulture, $"""
            <svg xmlns="http://www.w3.org/2000/svg" width="{Width}" height="{Height}" viewBox="0 0 {Width} {Height}" font-family="sans-serif" font-size="13">
            <rect width="{Width}" height="{Height}" fill="white"/>
            <text x="{Width / 2}" y="22" text-anchor="middle" font-size="15">{System.Security.SecurityElement.Escape(title)}</text>

            """);
        for (int i = 0; i <= Ticks; i++)
        {
            double loss = bottom + ((top - bottom) * i / Ticks);
            double step = left + ((right - left) * i / Ticks);
            (double x, double y) = (X(step), Y(loss));
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{y:0.#}\" y2=\"{y:0.#}\" stroke=\"#ddd\"/>\n");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left - 8}\" y=\"{y + 4:0.#}\" text-anchor=\"end\">{loss:0.00}</text>\n");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x:0.#}\" y=\"{Height - Bottom + 20}\" text-anchor=\"middle\">{step:0}</text>\n");
        }

        Draw(curve.Training, "#1f77b4", Left + 20);
        Draw(curve.Evaluation, "#d62728", Left + 180);
        int middle = (Left + Width - Right) / 2;
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{middle}\" y=\"{Height - 10}\" text-anchor=\"middle\">optimizer step</text>\n</svg>\n");
        return svg.ToString();

        double X(double step) => Left + ((step - left) / (right - left) * (Width - Left - Right));

        double Y(double loss) => Height - Bottom - ((loss - bottom) / (top - bottom) * (Height - Top - Bottom));

        void Draw(Series series, string color, int legend)
        {
            if (series.Points.Count == 0)
            {
                return;
            }

            string points = string.Join(' ', series.Points.Select(p => string.Create(CultureInfo.InvariantCulture, $"{X(p.Step):0.##},{Y(p.Loss):0.##}")));
            svg.Append(CultureInfo.InvariantCulture, $"<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" points=\"{points}\"/>\n");
            foreach ((double step, double loss) in series.Points)
            {
                svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{X(step):0.##}\" cy=\"{Y(loss):0.##}\" r=\"2.5\" fill=\"{color}\"/>\n");
            }

            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{legend}\" y=\"{Top - 4}\" fill=\"{color}\">{series.Name}</text>\n");
        }
    }
}
