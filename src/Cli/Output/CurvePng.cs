namespace Graft.Cli.Output;

/// <summary>The loss curve as PNG, by ScottPlot. It draws with Skia, a native library that needs fonts: where it does not work there is the SVG.</summary>
internal static class CurvePng
{
    /// <summary>Why no PNG can be drawn here; null where it can.</summary>
    public static string? Unavailable()
    {
        try
        {
            using ScottPlot.Plot plot = new();
            _ = plot.Add.Scatter(new double[] { 0, 1 }, new double[] { 0, 1 });
            return plot.GetImageBytes(16, 16, ScottPlot.ImageFormat.Png).Length > 0 ? null : "Skia drew nothing";
        }
        catch (Exception e)
        {
            return Reason(e);
        }
    }

    /// <summary>Writes the picture; the reason where it could not be drawn, null otherwise.</summary>
    public static string? Write(Curve curve, string title, string path)
    {
        try
        {
            using ScottPlot.Plot plot = new();
            foreach (Series series in new[] { curve.Training, curve.Evaluation })
            {
                if (series.Points.Count > 0)
                {
                    double[] steps = [.. series.Points.Select(p => p.Step)];
                    double[] losses = [.. series.Points.Select(p => p.Loss)];
                    plot.Add.Scatter(steps, losses).LegendText = series.Name;
                }
            }

            plot.Title(title);
            plot.XLabel("optimizer step");
            plot.YLabel("loss");
            _ = plot.ShowLegend();
            _ = plot.SavePng(path, 800, 450);
            return null;
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return Reason(e);
        }
    }

    private static string Reason(Exception e)
    {
        Exception inner = e;
        while (inner.InnerException is not null)
        {
            inner = inner.InnerException;
        }

        return $"Skia cannot draw here: {inner.Message.Split('\n')[0]} (on Linux it needs fontconfig and a font)";
    }
}
