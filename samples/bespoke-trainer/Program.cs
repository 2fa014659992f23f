// A training loop by hand: load, attach a LoRA, take steps, save. Run from the root of the repository:
// dotnet run -c Release --project samples/bespoke-trainer -- samples/models/graft-tiny samples/e2e-nlg/train.jsonl out 20
using Graft.Models.Adapters;
using Graft.Runtime;
using Graft.Training;
using Graft.Training.Data;
using Graft.Training.Optimizers;
using Graft.Training.Runs;

using CpuDevice device = new();
using LoadedModel model = LoadedModel.Load(args[0], device);
AttachedAdapter lora = model.Adapters.Attach("mine", new LoraConfig { Rank = 8, Alpha = 16, TargetModules = ModulePattern.AllLinear }, new Rng(42));
using TokenizedDataset data = TokenizedDataset.Open(args[1], model.Encoder, new DatasetOptions { Framing = new() { MaxLength = 128 } });
BatchSampler batches = new(data, new BatchOptions { Rows = 4, Length = 128 }, SampleOrder.Shuffled(data.Count, new Rng(42).Stream("data")));
LanguageModelObjective objective = new(model.Model, model.Adapters.Active("mine"));
using Arena training = new(device, "training"), step = new(device, "step");
using ParameterSet weights = AdapterTraining.Parameters(lora, training);
Optimizer optimizer = new(weights, new AdamW(), learningRate: 2e-3);
for (int i = 1; i <= int.Parse(args[3]); i++)
{
    Batch batch = batches.Next();
    using Scope scope = step.Enter("step");
    using Tape tape = new(step);
    LossTerm loss = objective.Forward(new ObjectiveCall { Tape = tape, Batch = batch, Random = new Rng(42).At(i), IsTraining = true })[0];
    Tensor mean = tape.Scale(loss.Sum, (float)(loss.Weight / batch.TargetCount));
    double value = mean.ReadScalar();
    tape.Backward(mean);
    double norm = GradientClipping.ByNorm(1, NormOrder.L2, weights);
    optimizer.Update();
    weights.ClearGradients();
    Console.WriteLine($"step {i}: loss {value:0.000}, gradient norm {norm:0.000}");
}

model.Adapters.Save("mine", args[2]);
