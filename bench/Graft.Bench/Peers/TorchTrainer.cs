using System.Diagnostics;
using Graft.Bench.Works;
using TorchSharp;

namespace Graft.Bench.Peers;

/// <summary>A decoder of the peer.</summary>
internal interface ITorchModel
{
    /// <summary>ids (B, T) to logits (B·T, V).</summary>
    torch.Tensor Logits(torch.Tensor ids);
}

/// <summary>The peer's side of a training work: eager forward, cross-entropy, autograd, AdamW; all temporaries are freed when the step ends.</summary>
internal sealed class TorchTrainer : ITrainer
{
    private readonly ITorchModel _model;
    private readonly TorchWeights _weights;
    private readonly torch.Tensor _ids;
    private readonly torch.Tensor _targets;
    private readonly TorchSharp.Modules.AdamW _optimizer;

    /// <summary>A trainer of the trained among the weights, which end with it.</summary>
    public TorchTrainer(ITorchModel model, TorchWeights weights, TokenBatch batch, double learningRate)
    {
        (_model, _weights) = (model, weights);
        _ids = Torch.Create(batch.Ids, batch.Rows, batch.Length);
        _targets = Torch.Create(batch.Targets, batch.Tokens);
        _optimizer = torch.optim.AdamW(weights.Trained, learningRate, weight_decay: 0.01);
    }

    /// <inheritdoc/>
    public Phases Last { get; private set; }

    /// <inheritdoc/>
    public double Step()
    {
        double loss = Timed();

        // The optimizer leaves tensors to finalizers, half a GiB a step for GPT-2, and makes too little garbage for them to run by themselves: new pages for
        // each step then cost it more than its arithmetic.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return loss;
    }

    private double Timed()
    {
        long start = Stopwatch.GetTimestamp();
        using DisposeScope scope = torch.NewDisposeScope();
        torch.Tensor loss = torch.nn.functional.cross_entropy(_model.Logits(_ids), _targets);
        long forward = Stopwatch.GetTimestamp();
        loss.backward();
        long backward = Stopwatch.GetTimestamp();
        _ = _optimizer.step();
        _optimizer.zero_grad();
        long end = Stopwatch.GetTimestamp();
        Last = new Phases(
            Stopwatch.GetElapsedTime(start, forward).TotalSeconds,
            Stopwatch.GetElapsedTime(forward, backward).TotalSeconds,
            Stopwatch.GetElapsedTime(backward, end).TotalSeconds);
        return loss.item<float>();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _optimizer.Dispose();
        _ids.Dispose();
        _targets.Dispose();
        _weights.Dispose();
    }
}
