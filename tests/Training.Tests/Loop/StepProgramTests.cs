using Graft.Runtime;
using Graft.Training.Checkpoints;
using Graft.Training.Data;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Loop;

/// <summary>Steps other than the usual one: an estimate without backward (MeZO), two optimizers in one step (SoRA).</summary>
public class StepProgramTests
{
    [Test]
    public void An_estimate_from_two_losses_is_the_gradient_along_its_direction()
    {
        using TinyRun run = new(new TinyOptions());
        using Arena arena = new(run.Device, "weights");
        using ParameterSet set = new(run.Parameters, arena);
        Batch batch = new BatchSampler(run.Data, new BatchOptions { Rows = 4, Length = 12 }, SampleOrder.Sequential(run.Data.Count)).Next();
        List<float[]> before = [.. set.Active.Select(e => e.Values.ToArray<float>())];
        EstimatedStep step = new(run, new Optimizer(set, new Sgd(), 0.1), 1e-2f);
        double estimate = step.Estimate(arena, batch, new Rng(8));
        Assert.That(set.Active.Select(e => e.Values.ToArray<float>()), Is.EqualTo(before).Within(1e-6), "values are back in their place");

        List<float[]> estimated = [.. set.Active.Select(e => e.Parameter.Gradient!.ToArray<float>())];
        set.ClearGradients();
        using Tape tape = new(arena);
        Tensor loss = run.Forward(Call(tape, batch))[0].Sum;
        tape.Backward(loss, 1f / batch.TargetCount);
        double exact = 0;
        double norm = 0;
        for (int p = 0; p < estimated.Count; p++)
        {
            float[] gradient = set.Active[p].Parameter.Gradient!.ToArray<float>();
            for (int i = 0; i < gradient.Length; i++)
            {
                double direction = estimated[p][i] / estimate;
                exact += gradient[i] * direction;
                norm += direction * direction;
            }
        }

        Assert.That(norm, Is.GreaterThan(10), "a normal direction over 32 elements");
        Assert.That(estimate, Is.EqualTo(exact).Within(0.02 * Math.Abs(exact) + 1e-4));
    }

    [Test]
    public async Task Two_optimizers_in_one_step_resume_to_the_bit()
    {
        string folder = Path.Combine(TestContext.CurrentContext.WorkDirectory, "runs", Guid.NewGuid().ToString("N"));
        try
        {
            using TwinRun whole = new(null);
            await whole.Run(12);
            using (TwinRun first = new(folder))
            {
                await first.Run(7);
            }

            using TwinRun last = new(folder);
            await last.Run(12);
            Assert.That(last.Model.Bits(), Is.EqualTo(whole.Model.Bits()));
            List<int[]> untouched = new TinyRun(new TinyOptions()).Bits();
            Assert.That(last.Model.Bits()[2], Is.Not.EqualTo(untouched[2]));
            Assert.That(last.Model.Bits()[3], Is.Not.EqualTo(untouched[3]));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static ObjectiveCall Call(Tape tape, Batch batch) => new() { Tape = tape, Batch = batch, Random = new Rng(0), IsTraining = true };

    /// <summary>MeZO: g = (L(θ + εz) − L(θ − εz)) / 2ε · z, with z drawn again wherever it is needed. Malladi et al. 2023, arXiv:2305.17333.</summary>
    private sealed class EstimatedStep(IObjective objective, Optimizer optimizer, float epsilon)
    {
        public double Estimate(Arena arena, Batch batch, Rng random)
        {
            Move(random, epsilon);
            double up = Loss(arena, batch);
            Move(random, -2 * epsilon);
            double down = Loss(arena, batch);
            Move(random, epsilon);
            double along = (up - down) / (2 * epsilon);
            foreach (ParameterEntry entry in optimizer.Parameters.Active)
            {
                Span<float> gradient = entry.Parameter.GradientTarget(out _).AsSpan<float>();
                random.Stream(entry.Name).FillNormal(0, gradient, 0, (float)along);
            }

            return along;
        }

        private void Move(Rng random, float by)
        {
            foreach (ParameterEntry entry in optimizer.Parameters.Active)
            {
                Span<float> values = entry.Values.AsSpan<float>();
                float[] z = new float[values.Length];
                random.Stream(entry.Name).FillNormal(0, z);
                for (int i = 0; i < z.Length; i++)
                {
                    values[i] += by * z[i];
                }
            }
        }

        private double Loss(Arena arena, Batch batch)
        {
            using Scope scope = arena.Enter("loss");
            return objective.Forward(Call(Tape.None(arena), batch))[0].Sum.ReadScalar() / batch.TargetCount;
        }
    }

    /// <summary>One backward, two sets with rules of their own.</summary>
    private sealed class TwinStep(TinyRun model, Optimizer first, Optimizer second) : IStepProgram
    {
        public IReadOnlyList<ParameterSet> Sets => [first.Parameters, second.Parameters];

        public int BatchesPerStep => 1;

        public StepResult Run(StepContext c)
        {
            Batch batch = c.Data.Next();
            using Scope scope = c.Arena.Enter("step");
            using Tape tape = new(c.Arena);
            Tensor loss = model.Forward(Call(tape, batch))[0].Sum;
            double value = loss.ReadScalar() / batch.TargetCount;
            tape.Backward(loss, 1f / batch.TargetCount);
            double norm = GradientClipping.ByNorm(1, NormOrder.L2, first.Parameters, second.Parameters);
            first.Update();
            second.Update();
            first.Parameters.ClearGradients();
            second.Parameters.ClearGradients();
            return new StepResult(value, [], first.LearningRate, norm, batch.TargetCount, batch.TokenCount);
        }

        public void Save(StateWriter state)
        {
            ArgumentNullException.ThrowIfNull(state);
            state.Put("first", first.Step);
            state.Put("second", second.Step);
        }

        public void Load(StateReader state)
        {
            Assert.That(state.Int64("first"), Is.EqualTo(state.Int64("second")));
        }

        public void Dispose()
        {
            first.Parameters.Dispose();
            second.Parameters.Dispose();
        }
    }

    private sealed class TwinRun : IDisposable
    {
        private readonly Trainer _trainer;
        private readonly Arena _arena;

        public TwinRun(string? folder)
        {
            Model = new TinyRun(new TinyOptions());
            _arena = new Arena(Model.Device, "twin");
            BatchSampler sampler = new(Model.Data, new BatchOptions { Rows = 4, Length = 12 }, SampleOrder.Shuffled(Model.Data.Count, new Rng(2)));
            TrainingPhase phase = new("twins", Program, new SamplerSource(sampler), 12);
            _trainer = new Trainer(Model.Device, [phase], new TrainerOptions { CheckpointFolder = folder, SaveEvery = 3, Resume = true });
        }

        public TinyRun Model { get; }

        public async Task Run(long until)
        {
            await foreach (TrainingEvent e in _trainer.RunAsync())
            {
                if (e is StepCompleted && e.Step == until)
                {
                    break;
                }
            }
        }

        public void Dispose()
        {
            _trainer.Dispose();
            _arena.Dispose();
            Model.Dispose();
        }

        private TwinStep Program()
        {
            ParameterSet a = new(Model.Parameters.Where(p => p.Name.Contains("lora_A", StringComparison.Ordinal)), _arena);
            ParameterSet b = new(Model.Parameters.Where(p => p.Name.Contains("lora_B", StringComparison.Ordinal)), _arena);
            return new TwinStep(Model, new Optimizer(a, new AdamW(), 0.01), new Optimizer(b, new Sgd(Momentum: 0.9), 0.1));
        }
    }
}
