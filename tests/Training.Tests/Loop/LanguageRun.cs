using System.Globalization;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Runtime;
using Graft.Training.Data;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Loop;

/// <summary>A run of a small Llama.</summary>
internal sealed class LanguageRun : IDisposable
{
    private const string Config = """
        {
          "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 16, "hidden_size": 32, "intermediate_size": 48,
          "num_hidden_layers": LAYERS,
          "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
          "hidden_act": "silu", "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false, "initializer_range": 0.3,
          "bos_token_id": 1, "eos_token_id": 15
        }
        """;

    public LanguageRun(
        TinyOptions options, Func<ParameterEntry, bool>? trains = null, AdapterConfig? adapter = null, Func<IObjective, IObjective>? wrap = null)
    {
        Device = options.Open();
        string config = Config.Replace("LAYERS", options.Layers.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal);
        Model = PretrainedModel.Create(config, Device, new Rng(9), new LoadOptions { WeightType = options.DType, Activations = options.Activations });
        AdapterHost host = new(Model.Model);
        Adapter = adapter is null ? null : host.Attach("tuned", adapter, new Rng(4));
        Objective = new LanguageModelObjective(Model.Model, adapter is null ? null : host.Active("tuned"));
        TokenSampleList data = TinyRun.Samples(options.Samples, 1);
        BatchSampler sampler = new(
            data,
            new BatchOptions { Rows = options.Rows, Length = options.Length, Packing = options.Packing, Window = 16 },
            SampleOrder.Sequential(data.Count));
        TrainingPhase phase = new("tuning", Program, new SamplerSource(sampler), options.Steps);
        IEvaluator? evaluator = options.Evaluates ? new Evaluator(Objective, () => sampler.Take(data.Count)) : options.Trainer.Evaluator;
        Trainer = new Trainer(Device, [phase], options.Trainer with { Evaluator = evaluator });

        GradientStep Program()
        {
            ParameterSet set = Adapter is null
                ? new ParameterSet(Model.Model.Parameters, Model.Weights, new ParameterSetOptions { Layout = options.Layout })
                : AdapterTraining.Parameters(Adapter, Model.Weights, loraPlusRatio: 4);
            if (Adapter is null)
            {
                set.Activate(trains ?? (static _ => true));
            }

            Optimizer optimizer = new(set, options.Rule, options.LearningRate);
            if (Adapter is not null)
            {
                AdapterTraining.Connect(optimizer, host, Adapter, options.Steps);
            }

            Step = new GradientStep(wrap?.Invoke(Objective) ?? Objective, optimizer, new GradientStepOptions
            {
                CudaGraph = options.CudaGraph,
                AccumulationSteps = options.Accumulation,
                ActivationCheckpointing = options.Checkpointing,
            });
            return Step;
        }
    }

    public Device Device { get; }

    public PretrainedModel Model { get; }

    public LanguageModelObjective Objective { get; }

    public AttachedAdapter? Adapter { get; }

    public Trainer Trainer { get; }

    /// <summary>The program of the running phase.</summary>
    public GradientStep? Step { get; private set; }

    public async Task<List<TrainingEvent>> Run()
    {
        List<TrainingEvent> events = [];
        await foreach (TrainingEvent e in Trainer.RunAsync().ConfigureAwait(false))
        {
            events.Add(e);
        }

        return events;
    }

    public List<float[]> Values() => [.. Model.Model.Parameters.Select(p =>
        p.Value.DType == DType.BF16 ? Array.ConvertAll(p.Value.ToArray<BFloat16>(), v => (float)v) : p.Value.ToArray<float>())];

    public List<float[]> AdapterValues() => [.. Adapter!.Parameters.Select(p => p.Value.ToArray<float>())];

    public void Dispose()
    {
        Trainer.Dispose();
        Model.Dispose();
        Device.Dispose();
    }
}
