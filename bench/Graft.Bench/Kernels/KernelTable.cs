using Graft.Runtime;

namespace Graft.Bench.Kernels;

/// <summary>One kernel at one size.</summary>
/// <param name="Name">Op and shapes.</param>
/// <param name="Run">Records it on a tape.</param>
/// <param name="Inputs">Shapes of F32 inputs.</param>
internal sealed record KernelRow(string Name, Func<Tape, Tensor[], Tensor> Run, params Shape[] Inputs);

/// <summary>The kernels that are benchmarked alone: a new one is a new line.</summary>
internal static class KernelTable
{
    /// <summary>All rows.</summary>
    public static IReadOnlyList<KernelRow> Rows { get; } =
    [
        new("linear 256x768 -> 3072", (t, x) => t.Linear(x[0], x[1]), new Shape(256, 768), new Shape(3072, 768)),
        new("layer_norm 256x768", (t, x) => t.LayerNorm(x[0], x[1], x[2], 1e-5f), new Shape(256, 768), new Shape(768), new Shape(768)),
        new("rms_norm 512x576", (t, x) => t.RmsNorm(x[0], x[1], 1e-5f), new Shape(512, 576), new Shape(576)),
        new("gelu_tanh 256x3072", (t, x) => t.GeluTanh(x[0]), new Shape(256, 3072)),
        new("silu 512x1536", (t, x) => t.Silu(x[0]), new Shape(512, 1536)),
        new("softmax 512x1024", (t, x) => t.Softmax(x[0]), new Shape(512, 1024)),
        new("add 512x1536", (t, x) => t.Add(x[0], x[1]), new Shape(512, 1536), new Shape(512, 1536)),
        new("attention 4x64, 12 heads of 64", (t, x) => t.PackedAttention(x[0], 12, 12, new AttentionOptions { Scale = 0.125f }), new Shape(4, 64, 2304)),
        new("attention 4x128, 9 heads of 64", (t, x) => t.PackedAttention(x[0], 9, 9, new AttentionOptions { Scale = 0.125f }), new Shape(4, 128, 1728)),
    ];
}
