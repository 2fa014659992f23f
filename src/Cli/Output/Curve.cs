using Graft.Training;

namespace Graft.Cli.Output;

/// <summary>A series of (step, loss).</summary>
internal sealed record Series(string Name, IReadOnlyList<(double Step, double Loss)> Points);

/// <summary>The losses of a run's history, ready to be drawn.</summary>
internal sealed record Curve(Series Training, Series Evaluation)
{
    public bool IsEmpty => Training.Points.Count + Evaluation.Points.Count == 0;

    public static Curve Of(TrainerState state)
    {
        return new Curve(new Series("training loss", Points("loss")), new Series("evaluation loss", Points("eval_loss")));

        List<(double, double)> Points(string key)
        {
            return [.. state.History.Where(e => e.Values.TryGetValue(key, out double v) && double.IsFinite(v)).Select(e => ((double)e.Step, e.Values[key]))];
        }
    }

    /// <summary>The frame that holds all points, never without height or width.</summary>
    public (double Left, double Right, double Bottom, double Top) Frame()
    {
        (double Step, double Loss)[] all = [.. Training.Points, .. Evaluation.Points];
        double left = all.Min(p => p.Step);
        double right = all.Max(p => p.Step);
        double bottom = all.Min(p => p.Loss);
        double top = all.Max(p => p.Loss);
        double margin = top > bottom ? (top - bottom) * 0.05 : 0.5;
        return (left, right > left ? right : left + 1, bottom - margin, top + margin);
    }
}
