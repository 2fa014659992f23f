// The same with Trainer: it accumulates, schedules, evaluates, saves and resumes. Run from the root of the repository:
// dotnet run -c Release --project samples/trainer -- samples/models/graft-tiny samples/e2e-nlg/train.jsonl out 20
using Graft.Models.Adapters;
using Graft.Runtime;
using Graft.Training;
using Graft.Training.Data;
using Graft.Training.Optimizers;
using Graft.Training.Runs;

int steps = int.Parse(args[3]);
using CpuDevice device = new();
using LoadedModel model = LoadedModel.Load(args[0], device);
AttachedAdapter lora = model.Adapters.Attach("mine", new LoraConfig { Rank = 8, Alpha = 16, TargetModules = ModulePattern.AllLinear }, new Rng(42));
using TokenizedDataset data = TokenizedDataset.Open(args[1], model.Encoder, new DatasetOptions { Framing = new() { MaxLength = 128 } });
BatchSampler batches = new(data, new BatchOptions { Rows = 4, Length = 128 }, SampleOrder.Shuffled(data.Count, new Rng(42).Stream("data")));
using Arena training = new(device, "training");
TrainingPhase phase = new("fine-tuning", Program, new SamplerSource(batches), steps);
using Trainer trainer = new(device, [phase], new TrainerOptions { CheckpointFolder = Path.Combine(args[2], "checkpoints"), Resume = true });
await foreach (TrainingEvent e in trainer.RunAsync())
{
    if (e is StepCompleted done)
    {
        Console.WriteLine($"step {done.Step}: loss {done.Result.Loss:0.000}, {done.TokensPerSecond:0} tokens/s");
    }
}

model.Adapters.Save("mine", Path.Combine(args[2], "adapter"));

GradientStep Program()
{
    Optimizer optimizer = new(AdapterTraining.Parameters(lora, training), new AdamW(), learningRate: 2e-3, new CosineSchedule(steps / 10, steps));
    AdapterTraining.Connect(optimizer, model.Adapters, lora, steps);
    LanguageModelObjective objective = new(model.Model, model.Adapters.Active("mine"));
    return new GradientStep(objective, optimizer, new GradientStepOptions { AccumulationSteps = 2 });
}
