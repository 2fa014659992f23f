using Graft.Bench.Peers;
using Graft.Bench.Report;
using Graft.Runtime;
using Graft.Training.Optimizers;
using TorchSharp;

namespace Graft.Bench.Works;

/// <summary>One AdamW update of all parameters of GPT-2 124M in F32, alone and behind the clipping of the gradients' norm.</summary>
/// <remarks>Least traffic: p, g, m and v are read, p, m and v written: 28 bytes an element; with clipping the gradients are read once more for their norm.</remarks>
internal sealed class AdamWWork : IWork
{
    private const double LearningRate = 1e-4;

    /// <inheritdoc/>
    public string Name => "adamw";

    /// <inheritdoc/>
    public IEnumerable<BenchRow> Run(BenchOptions options)
    {
        using CpuDevice device = new();
        using CopyBandwidth copy = new(device, options.Quick ? 32 : 256);
        using Arena arena = new(device, "training");
        Parameter[] parameters = [.. Shapes(options.Quick).Select((shape, i) => Drawn(arena, shape, i))];
        using ParameterSet set = new(parameters, arena, new ParameterSetOptions { Layout = ValueLayout.InPlace });
        Optimizer optimizer = new(set, new AdamW(), LearningRate);
        for (int i = 0; i < parameters.Length; i++)
        {
            new Rng(13).At(i).Stream("gradient").FillNormal(0, parameters[i].Gradient!.AsSpan<float>(), 0, 1e-3f);
            parameters[i].HasGradient = true;
        }

        double elements = parameters.Sum(p => p.Shape.Count);
        using TorchAdamW? theirs = Torch.IsAvailable ? new TorchAdamW(parameters, LearningRate) : null;
        optimizer.Update();
        theirs?.Update();
        string? disagreement = theirs is null || theirs.LargestDifference(parameters) < 1e-6 ? null : ", the two updates differ";
        yield return MemoryRow.Measure(
            options, copy, "adamw: GPT-2 124M, update", (28 * elements, 15 * elements), "torch.optim.AdamW", optimizer.Update, theirs is null ? null : theirs.Update, disagreement);
        yield return MemoryRow.Measure(
            options, copy, "adamw: GPT-2 124M, norm, clipping and update", (32 * elements, 18 * elements), "torch.optim.AdamW", ClipAndUpdate,
            theirs is null ? null : theirs.ClipAndUpdate, disagreement);

        void ClipAndUpdate()
        {
            optimizer.Update(GradientClipping.Coefficient(1, GradientClipping.GlobalNorm(NormOrder.L2, set)));
        }
    }

    /// <inheritdoc/>
    public void RunOneSide(bool ours, bool quick)
    {
        // What it takes is four blocks of the parameters' size on either side.
    }

    private static IEnumerable<Shape> Shapes(bool quick)
    {
        int width = quick ? 128 : 768, layers = quick ? 2 : 12;
        yield return new Shape(quick ? 1000 : 50257, width);
        yield return new Shape(quick ? 64 : 1024, width);
        for (int i = 0; i < layers; i++)
        {
            Shape[] block =
            [
                new(width), new(width), new(width, 3 * width), new(3 * width), new(width, width), new(width), new(width), new(width),
                new(width, 4 * width), new(4 * width), new(4 * width, width), new(width),
            ];
            foreach (Shape shape in block)
            {
                yield return shape;
            }
        }

        yield return new Shape(width);
        yield return new Shape(width);
    }

    private static Parameter Drawn(Arena arena, Shape shape, int index)
    {
        Tensor tensor = arena.Allocate(shape, DType.F32, MemoryCategory.Weights);
        new Rng(13).At(index).Stream("value").FillNormal(0, tensor.AsSpan<float>(), 0, 0.02f);
        return new Parameter($"p{index}", tensor, trainable: true);
    }

    private sealed class TorchAdamW : IDisposable
    {
        private readonly TorchSharp.Modules.Parameter[] _parameters;
        private readonly TorchSharp.Modules.AdamW _optimizer;

        public TorchAdamW(Parameter[] ours, double learningRate)
        {
            _parameters = [.. ours.Select(p => new TorchSharp.Modules.Parameter(Copy(p.Value)))];
            for (int i = 0; i < ours.Length; i++)
            {
                _parameters[i].grad = Copy(ours[i].Gradient!);
            }

            _optimizer = torch.optim.AdamW(_parameters, learningRate, weight_decay: 0.01);
        }

        public void Update()
        {
            using (torch.NewDisposeScope())
            {
                _ = _optimizer.step();
            }

            // It leaves some of its tensors to finalizers, half a GiB a step, and makes too little garbage for them to run by themselves before memory is out.
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        public void ClipAndUpdate()
        {
            _ = torch.nn.utils.clip_grad_norm_(_parameters, 1);
            Update();
        }

        public double LargestDifference(Parameter[] ours)
        {
            double largest = 0;
            for (int i = 0; i < ours.Length; i++)
            {
                using torch.Tensor mine = Copy(ours[i].Value);
                using torch.Tensor apart = (mine - _parameters[i]).abs().max();
                largest = Math.Max(largest, apart.ToDouble());
            }

            return largest;
        }

        public void Dispose()
        {
            _optimizer.Dispose();
            foreach (TorchSharp.Modules.Parameter parameter in _parameters)
            {
                parameter.Dispose();
            }
        }

        private static torch.Tensor Copy(Tensor t) => Torch.Create(t.AsReadOnlySpan<float>(), [.. Enumerable.Range(0, t.Shape.Rank).Select(i => (long)t.Shape[i])]);
    }
}
