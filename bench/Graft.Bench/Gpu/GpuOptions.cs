using System.Text.Json.Nodes;

namespace Graft.Bench.Gpu;

/// <summary>How a work is measured, and where its rows go.</summary>
/// <param name="Folder">One file of rows per work.</param>
/// <param name="Tiny">Small sizes and two rounds, for the emulated driver: shows that the code runs, and measures nothing.</param>
/// <param name="Quick">Fewer rounds and shorter models.</param>
internal sealed record GpuOptions(string Folder, bool Tiny, bool Quick)
{
    /// <summary>Samples at most.</summary>
    public int Rounds => Tiny ? 2 : Quick ? 20 : 50;

    /// <summary>No further sample after this time, if there are three.</summary>
    public double SecondsPerFigure => Tiny ? 1 : Quick ? 1.5 : 4;

    /// <summary>A size, or the tiny one.</summary>
    public int Size(int full, int tiny) => Tiny ? tiny : full;

    /// <summary>The limits measured in this run; zeros where there is no file of them.</summary>
    public (double CopyGBs, double GemmTflops) Limits()
    {
        string path = Path.Combine(Folder, "limits.json");
        JsonNode? limits = File.Exists(path) ? JsonNode.Parse(File.ReadAllText(path)) : null;
        return ((double?)limits?["copyGBs"] ?? 0, (double?)limits?["bf16GemmTflops"] ?? 0);
    }
}
