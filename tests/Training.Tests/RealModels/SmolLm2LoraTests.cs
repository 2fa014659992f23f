using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Models.Layers;
using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.RealModels;

/// <summary>Five AdamW steps of a LoRA, read from PEFT's files, on a real model, read from its 4-bit GGUF file, against peft on the same weights.</summary>
[Category("Fixtures")]
public sealed class SmolLm2LoraTests
{
    [Test]
    public void Five_steps_follow_the_recording()
    {
        string? folder = FixtureFolder.Models is { } models ? Path.Combine(models, "smollm2-135m-instruct") : null;
        if (folder is null || !Directory.Exists(folder))
        {
            Assert.Ignore(FixtureFolder.ModelsReason);
        }

        JsonElement row = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder!, "case.json"))).RootElement.GetProperty("lora-qv");
        using SafeTensorsFile recording = SafeTensorsFile.Open(Path.Combine(folder!, "lora-qv.recording.safetensors"));
        using SafeTensorsFile gradients = SafeTensorsFile.Open(Path.Combine(folder!, "lora-qv.gradients.safetensors"));
        using SafeTensorsFile final = SafeTensorsFile.Open(Path.Combine(folder!, "lora-qv.final.safetensors"));
        using CpuDevice device = new();
        using PretrainedModel model = PretrainedModel.Load(Directory.EnumerateFiles(folder!, "*.gguf").Single(), device);
        AdapterHost host = new(model.Model);
        AttachedAdapter adapter = host.Load(Path.Combine(folder!, "lora-qv"));
        using Arena step = new(device, "step");
        using Arena state = new(device, "optimizer");
        using ParameterSet set = new(adapter.Parameters.Select(p => p.Parameter), state);
        Optimizer optimizer = new(set, new AdamW(), 1e-3);
        Dictionary<string, float[]> start = adapter.Parameters.ToDictionary(p => p.Parameter.Name, p => p.Value.ToArray<float>());

        Shape shape = recording.Entry("input_ids").Shape;
        int[] ids = [.. recording.ReadArray<long>("input_ids").Select(v => (int)v)];
        long[] labels = recording.ReadArray<long>("labels");
        int[] targets = [.. labels.Select((_, i) => (i + 1) % shape[1] == 0 ? -100 : (int)labels[i + 1])];
        int count = targets.Count(t => t >= 0);
        double Tolerance(string what) => row.GetProperty("tolerance").GetProperty(what).GetDouble();
        double Loss(ActiveAdapters active, bool backward, float[]? lastLogits = null)
        {
            using Scope scope = step.Enter("step");
            using Tape tape = new(step);
            ForwardContext c = new(tape, new TokenLayout(shape[0], shape[1])) { Adapters = active };
            Tensor hidden = model.Model.Hidden(c, step.Create<int>(shape, ids, MemoryCategory.Activations));
            if (lastLogits is not null)
            {
                using Tape none = Tape.None(step);
                for (int i = 0; i < shape[0]; i++)
                {
                    Tensor last = none.View(Tape.Detach(hidden), new Shape(1, model.Model.HiddenSize), (long)(((i + 1) * shape[1]) - 1) * model.Model.HiddenSize);
                    model.Model.Head.Forward(new ForwardContext(none, new TokenLayout(1, 1)), last).AsSpan<float>().CopyTo(lastLogits.AsSpan(i * model.Model.VocabSize));
                }
            }

            Tensor logp = tape.SelectedLogProb(
                tape.View(hidden, new Shape(ids.Length, model.Model.HiddenSize)),
                model.Model.Head.Weight.Parameter!.Value,
                step.Create<int>(new Shape(ids.Length), targets, MemoryCategory.Activations));
            Tensor loss = tape.Scale(tape.Sum(logp), -1.0 / count);
            if (backward)
            {
                tape.Backward(loss);
            }

            return loss.ReadScalar();
        }

        double baseLoss = row.GetProperty("base_loss").GetDouble();
        Assert.That(Loss(ActiveAdapters.None, false), Is.EqualTo(baseLoss).Within(Tolerance("loss") * baseLoss), "without the adapter");

        float[] losses = recording.ReadFloats("losses");
        float[] logits = new float[shape[0] * model.Model.VocabSize];
        for (int i = 0; i < losses.Length; i++)
        {
            bool trains = i < losses.Length - 1;
            double loss = Loss(host.Active(adapter.Name), trains, i == 0 ? logits : null);
            Assert.That(loss, Is.EqualTo(losses[i]).Within(Tolerance("losses") * losses.Max()), $"loss {i}");
            if (i == 0)
            {
                Closeness.AssertClose("last_logits", logits, recording.ReadFloats("last_logits"), Tolerance("last_logits"));
                double largest = gradients.Tensors.Keys.Max(k => gradients.ReadFloats(k).Max(Math.Abs));
                foreach (AdapterParameter p in adapter.Parameters)
                {
                    Closeness.AssertClose(p.Parameter.Name, p.Parameter.Gradient!.AsReadOnlySpan<float>(), gradients.ReadFloats(OnDisk(gradients, p)), Tolerance("grad"), 1e-2 * largest);
                }
            }

            if (trains)
            {
                optimizer.Update();
                set.ClearGradients();
            }
        }

        foreach (AdapterParameter p in adapter.Parameters)
        {
            float[] expected = final.ReadFloats(OnDisk(final, p));
            float[] before = start[p.Parameter.Name];
            ReadOnlySpan<float> actual = p.Value.AsReadOnlySpan<float>();
            double error = 0;
            double moved = 0;
            for (int i = 0; i < expected.Length; i++)
            {
                error += Math.Pow((double)actual[i] - expected[i], 2);
                moved += Math.Pow((double)expected[i] - before[i], 2);
            }

            Assert.That(Math.Sqrt(error / moved), Is.LessThanOrEqualTo(Tolerance("final")), $"{p.Parameter.Name}: error over the distance moved");
        }
    }

    private static string OnDisk(SafeTensorsFile file, AdapterParameter parameter)
    {
        string end = $"{parameter.Module}.{parameter.Key}";
        return file.Tensors.Keys.Single(k => k.EndsWith(end, StringComparison.Ordinal));
    }
}
