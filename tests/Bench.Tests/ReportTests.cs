using System.Globalization;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using Graft.Bench.Report;

namespace Graft.Bench.Tests;

/// <summary>Rows, roofline, tables, picture and page.</summary>
public sealed class ReportTests
{
    private static readonly string s_marked = "# Performance\n\n<!-- measured: written by dotnet cake --target=Bench, not by hand -->\nold\n<!-- /measured -->\n\nafter\n";

    [TestCase("ms", 50, 100, 2)]
    [TestCase("us", 50, 100, 2)]
    [TestCase("MiB", 50, 100, 2)]
    [TestCase("%", 2.5, 5, 2)]
    [TestCase("GFLOP/s", 100, 50, 2)]
    [TestCase("x", 1.9, 2, 0.95)]
    public void A_ratio_above_one_says_that_ours_is_better(string unit, double ours, double theirs, double ratio)
    {
        Assert.That(Results.Row(unit: unit, ours: ours, theirs: theirs).Ratio, Is.EqualTo(ratio));
    }

    [Test]
    public void A_row_has_the_columns_that_readers_of_the_file_count_on()
    {
        JsonObject row = Results.Row(target: 2.5).ToJson(Results.Limits);
        Assert.That(row.Select(c => c.Key), Is.SupersetOf(new[] { "work", "peer", "ours", "theirs", "unit", "ratio", "target", "met" }));
        Assert.That(((double)row["ratio"]!, (bool)row["met"]!), Is.EqualTo((2.0, false)));
    }

    [TestCase("ms", 1, 4e6, 1e6, "copy", 0.1)] // 4 MB at 40 GB/s take 0.1 ms
    [TestCase("us", 10, 4e3, 1e6, "multiply-add", 0.5)] // 1 MFLOP at 200 GFLOP/s takes 5 us
    [TestCase("GB/s", 20, 4e6, 0, "copy", 0.5)]
    [TestCase("GFLOP/s", 150, 4e6, 1e9, "multiply-add", 0.75)]
    [TestCase("tokens/s", 100, 4e8, 1e6, "copy", 1)] // a token is a run
    public void The_roofline_takes_the_limit_that_comes_first(string unit, double ours, double bytes, double flops, string bound, double share)
    {
        Roofline line = Roofline.Of(Results.Row(unit: unit, ours: ours, theirs: null) with { Bytes = bytes, Flops = flops }, Results.Limits)!;
        Assert.That(line.Bound, Is.EqualTo(bound));
        Assert.That(line.Share, Is.EqualTo(share).Within(1e-9));
    }

    [Test]
    public void A_row_that_tells_nothing_has_no_roofline()
    {
        Assert.That(Roofline.Of(Results.Row(), Results.Limits), Is.Null);
        Assert.That(Roofline.Of(Results.Row(unit: "MiB") with { Bytes = 1 }, Results.Limits), Is.Null);
    }

    [Test]
    public void The_table_lists_every_row_the_roofline_and_what_fell()
    {
        JsonObject file = Results.File(Results.Row(target: 2), Results.Row("softmax", "ms", 1, null) with { Bytes = 4e6, Flops = 1e6 });
        (file["comparedWith"], file["fell"]) = ("2026-11-24-amd.json", new JsonArray("softmax: slower"));
        string text = ResultTable.Markdown(file, "picture.svg");
        Assert.That(text, Does.Contain("| gpt2: step | TorchSharp | 100 | 200 | ms | 2.00 | 2.00 | yes | 0 % / 0 % | 3 |"));
        Assert.That(text, Does.Contain("| softmax | 4.00 | 1.00 | 0.25 | 4.00 | 1.00 | copy | 10 % |"));
        Assert.That(text, Does.Contain("![Ratios and targets](picture.svg)").And.Contain("- softmax: slower"));
    }

    [Test]
    public void The_picture_has_a_bar_and_a_mark_for_each_row_with_a_target()
    {
        XDocument svg = XDocument.Parse(Chart.Svg(Results.File(
            Results.Row(target: 1), Results.Row("a: <b> & c", "GB/s", 10, 80, 1.5), Results.Row("a: no target"), Results.Row("a: no peer", theirs: null, target: 1))));
        XElement[] bars = [.. svg.Descendants().Where(e => e.Name.LocalName == "rect" && (string?)e.Attribute("x") != "20" && (string?)e.Attribute("x") != "120" && e.Attribute("x") is not null)];
        Assert.That(bars.Select(b => (string)b.Attribute("class")!), Is.EqualTo(new[] { "met", "missed" }));
        double End(XElement bar) => Number(bar, "x") + Number(bar, "width");
        Assert.That(End(bars[1]), Is.EqualTo(Number(bars[0], "x")).Within(0.1), "below 1 to the left of it, above 1 to the right");
        Assert.That(Number(bars[1], "width"), Is.EqualTo(3 * Number(bars[0], "width")).Within(0.3), "an eighth is three times as far as 2");
        Assert.That(svg.Descendants().Count(e => (string?)e.Attribute("class") == "target"), Is.EqualTo(3), "the legend's among them");
    }

    [Test]
    public void The_page_keeps_what_is_written_by_hand()
    {
        string page = Page.Replaced(s_marked, Page.Measured(Results.File(Results.Row(target: 2.5)), "2026-11-28-amd"))!;
        Assert.That(page, Does.StartWith("# Performance\n").And.EndWith("<!-- /measured -->\n\nafter\n").And.Not.Contain("old"));
        Assert.That(page, Does.Contain("../bench/results/2026-11-28-amd.svg").And.Contain("| gpt2: step | TorchSharp | 100 | 200 | ms | 2.00 | 2.50 | **no** |"));
        Assert.That(Page.Replaced("no marks", "text"), Is.Null);
    }

    [Test]
    public void Sides_are_measured_in_turn()
    {
        List<char> order = [];
        BenchOptions options = new([], Quick: true, "", OursOnly: false) { Rounds = 3 };
        Times[] times = Pair.InTurn(options, [() => order.Add('a'), () => order.Add('b'), () => order.Add('c')], warmUps: 1, repeat: false);
        Assert.That(string.Concat(order), Is.EqualTo("abcabcabcabc"));
        Assert.That(times.Select(t => t.Count), Is.All.EqualTo(3));
    }

    private static double Number(XElement element, string attribute) => double.Parse((string)element.Attribute(attribute)!, CultureInfo.InvariantCulture);
}
