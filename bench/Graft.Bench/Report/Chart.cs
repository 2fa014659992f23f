using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace Graft.Bench.Report;

/// <summary>A picture of the rows with a target (SVG): bars from 1 to the ratio on a logarithmic axis, a mark at each target.</summary>
internal static class Chart
{
    private const int LabelEnd = 330, PlotStart = 345, PlotEnd = 730, RatioEnd = 790, PeerStart = 805, Width = 980;
    private const double Least = 1.0 / 8, Most = 16; // the axis at most; what lies beyond ends there, its number beside it
    private const int Line = 22, Head = 92, LabelLetters = 52, PeerLetters = 26;

    // Classes, not variables: some renderers know no variables, and all ignore a query that they do not know.
    private const string Style = """
          text { font: 12px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
          .title { font-size: 15px; font-weight: 600 } .group { font-weight: 600 } .muted { fill: #59636e }
          .ground { fill: #ffffff } .grid { stroke: #d8dee4 } .one { stroke: #59636e } .target { stroke: #1f2328; stroke-width: 2.5 }
          .met { fill: #2f81d8 } .missed { fill: #d9822b }
          @media (prefers-color-scheme: dark) {
            text { fill: #f0f6fc } .muted { fill: #9198a1 } .ground { fill: #0d1117 } .grid { stroke: #30363d } .one { stroke: #9198a1 }
            .target { stroke: #f0f6fc } .met { fill: #4493f8 } .missed { fill: #db8a3a }
          }
        """;

    /// <summary>The picture of a result file.</summary>
    public static string Svg(JsonObject file)
    {
        IGrouping<string, JsonObject>[] groups = [.. ResultTable.Targeted(file).GroupBy(r => ResultTable.Split((string)r["work"]!).Work)];
        double least = 0.5, most = 2;
        foreach (JsonObject row in groups.SelectMany(g => g))
        {
            double ratio = (double)row["ratio"]!, target = (double)row["target"]!;
            (least, most) = (Math.Min(least, Math.Min(ratio, target)), Math.Max(most, Math.Max(ratio, target)));
        }

        double from = Math.Floor(Math.Log2(Math.Max(least, Least))), to = Math.Ceiling(Math.Log2(Math.Min(most, Most)));
        double X(double ratio) => PlotStart + ((Math.Clamp(Math.Log2(ratio), from, to) - from) / (to - from) * (PlotEnd - PlotStart));
        int lines = groups.Sum(g => g.Count() + 1);
        int bottom = Head + (lines * Line) + 6;
        StringBuilder svg = new();
        string title = $"How many times better than the peer: {file["machine"]!["processor"]}, {file["date"]}";
        Append(svg, $"""<svg xmlns="http://www.w3.org/2000/svg" width="{Width}" height="{bottom + 14}" viewBox="0 0 {Width} {bottom + 14}" role="img">""");
        Append(svg, $"<title>{Escaped(title)}</title>\n<style>\n{Style}\n</style>");
        Append(svg, $"""<rect class="ground" width="{Width}" height="{bottom + 14}"/>""");
        Append(svg, $"""<text class="title" x="20" y="28">{Escaped(title)}</text>""");
        Append(svg, $"""<rect class="met" x="20" y="40" width="12" height="12"/><text class="muted" x="38" y="50">target met</text>""");
        Append(svg, $"""<rect class="missed" x="120" y="40" width="12" height="12"/><text class="muted" x="138" y="50">not met</text>""");
        Append(svg, $"""<path class="target" d="M 206 38 V 54"/><text class="muted" x="214" y="50">target</text>""");
        for (double power = from; power <= to; power++)
        {
            double x = X(Math.Pow(2, power));
            Append(svg, $"""<path class="{(power == 0 ? "one" : "grid")}" d="M {x:F1} {Head - 12} V {bottom}"/>""");
            Append(svg, $"""<text class="muted" x="{x:F1}" y="{Head - 18}" text-anchor="middle">{Math.Pow(2, power):G3}x</text>""");
        }

        int y = Head;
        foreach (IGrouping<string, JsonObject> group in groups)
        {
            Append(svg, $"""<text class="group" x="20" y="{y + 15}">{Escaped(group.Key)}</text>""");
            foreach (JsonObject row in group)
            {
                y += Line;
                Bar(svg, row, y, X);
            }

            y += Line;
        }

        return svg.Append("</svg>\n").ToString();
    }

    private static void Bar(StringBuilder svg, JsonObject row, int y, Func<double, double> x)
    {
        double ratio = (double)row["ratio"]!, end = x(ratio), one = x(1), target = x((double)row["target"]!);
        string label = Short(ResultTable.Split((string)row["work"]!).Part, LabelLetters), peer = Short((string?)row["peer"] ?? "", PeerLetters);
        Append(svg, $"""<text x="{LabelEnd}" y="{y + 15}" text-anchor="end">{Escaped(label)}</text>""");
        string kind = (bool?)row["met"] == true ? "met" : "missed";
        Append(svg, $"""<rect class="{kind}" x="{Math.Min(one, end):F1}" y="{y + 4}" width="{Math.Max(1, Math.Abs(end - one)):F1}" height="{Line - 8}"/>""");
        Append(svg, $"""<path class="target" d="M {target:F1} {y + 1} V {y + Line - 1}"/>""");
        Append(svg, $"""<text x="{RatioEnd}" y="{y + 15}" text-anchor="end">{ResultTable.Number(ratio)}x</text>""");
        Append(svg, $"""<text class="muted" x="{PeerStart}" y="{y + 15}">{Escaped(peer)}</text>""");
    }

    private static void Append(StringBuilder svg, FormattableString line) => svg.Append(FormattableString.Invariant(line)).Append('\n');

    private static string Short(string text, int letters) => text.Length <= letters ? text : text[..(letters - 1)] + "…";

    private static string Escaped(string text) => WebUtility.HtmlEncode(text);
}
