using System.Text.Json;
using Graft.Runtime;
using Graft.Training.Optimizers;

namespace Graft.Training.Tests.Loop;

/// <summary>Runs that are interrupted, resumed, stopped and written down.</summary>
public class TrainerResumeTests
{
    private string _folder = "";

    [SetUp]
    public void NameFolder() => _folder = Path.Combine(TestContext.CurrentContext.WorkDirectory, "runs", Guid.NewGuid().ToString("N"));

    [TearDown]
    public void RemoveFolder()
    {
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    [TestCase(1, DType.F32)]
    [TestCase(3, DType.BF16)]
    public async Task Resumed_is_uninterrupted_to_the_last_bit(int phases, DType dtype)
    {
        TinyOptions shape = new()
        {
            Dropout = 0.2,
            Accumulation = 2,
            Phases = phases,
            DType = dtype,
            TrainBase = dtype == DType.BF16,
            Evaluates = true,
            Steps = 7,
        };
        TrainerOptions options = new() { SaveEvery = 2, EvaluateEvery = 3, LogEvery = 2, KeepCheckpoints = 1, Resume = true };
        using TinyRun whole = new(shape with { Trainer = options });
        _ = await whole.Run();
        for (int stop = 3; stop < 7 * phases; stop += 4)
        {
            // Stops after some step: the checkpoint it goes on from is an earlier one.
            using TinyRun first = new(shape with { Trainer = options with { CheckpointFolder = _folder } });
            await foreach (TrainingEvent e in first.Trainer.RunAsync())
            {
                if (e is StepCompleted && e.Step == stop)
                {
                    break;
                }
            }
        }

        using TinyRun last = new(shape with { Trainer = options with { CheckpointFolder = _folder } });
        List<TrainingEvent> events = await last.Run();
        Assert.That(events.OfType<TrainingStarted>().Single().ResumedFrom, Does.Contain("checkpoint-"));
        Assert.That(last.Bits(), Is.EqualTo(whole.Bits()));
        Assert.That(last.Trainer.State.ToJson(), Is.EqualTo(whole.Trainer.State.ToJson()));
    }

    [TestCase(DType.F32)]
    [TestCase(DType.BF16)]
    public async Task A_run_goes_back_to_a_snapshot_as_often_as_asked(DType dtype)
    {
        TinyOptions shape = new() { Dropout = 0.2, Evaluates = true, DType = dtype, Trainer = new TrainerOptions { EvaluateEvery = 5, LogEvery = 4 } };
        using TinyRun whole = new(shape);
        _ = await whole.Run();
        using TinyRun run = new(shape);
        await Until(5);
        TrainerSnapshot snapshot = run.Trainer.TakeSnapshot();
        Assert.That(snapshot.Bytes, Is.EqualTo(3 * 2 * 16 * 4), "two matrices of 16 elements with two slots");
        foreach (long further in (long[])[9, 12])
        {
            await Until(further);
            Assert.That(run.Trainer.State.GlobalStep, Is.EqualTo(further));
            run.Trainer.Restore(snapshot);
            Assert.That(run.Trainer.State.GlobalStep, Is.EqualTo(5));
        }

        _ = await run.Run();
        Assert.That(run.Bits(), Is.EqualTo(whole.Bits()));
        Assert.That(run.Trainer.State.ToJson(), Is.EqualTo(whole.Trainer.State.ToJson()));

        async Task Until(long step)
        {
            await foreach (TrainingEvent e in run.Trainer.RunAsync())
            {
                if (e is StepCompleted && e.Step == step)
                {
                    break;
                }
            }
        }
    }

    [Test]
    public async Task A_cancelled_run_goes_on_as_if_nothing_had_happened()
    {
        TinyOptions shape = new() { Accumulation = 3, Dropout = 0.1 };
        using TinyRun whole = new(shape);
        _ = await whole.Run();
        using TinyRun run = new(shape);
        for (int i = 0; i < 4; i++)
        {
            using CancellationTokenSource source = new();
            int forwards = 0;
            run.OnForward = _ =>
            {
                if (++forwards == 5)
                {
                    source.Cancel(); // within the second step of this piece
                }
            };
            Assert.That(async () => await run.Run(source.Token), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(run.Trainer.State.GlobalStep, Is.EqualTo(i + 1));
            Assert.That(run.Trainer.StepArena.Report().Current.Total, Is.Zero);
        }

        run.OnForward = null;
        _ = await run.Run();
        Assert.That(run.Bits(), Is.EqualTo(whole.Bits()));
    }

    [Test]
    public async Task An_error_of_the_device_surfaces_and_the_run_can_go_on()
    {
        using TinyRun whole = new(new TinyOptions());
        _ = await whole.Run();
        using TinyRun run = new(new TinyOptions());
        int forwards = 0;
        run.OnForward = _ =>
        {
            if (++forwards == 3)
            {
                throw new OutOfDeviceMemoryException("full");
            }
        };
        Assert.That(async () => await run.Run(), Throws.TypeOf<OutOfDeviceMemoryException>());
        _ = await run.Run();
        Assert.That(run.Bits(), Is.EqualTo(whole.Bits()));
    }

    [Test]
    public async Task A_checkpoint_of_another_run_is_refused_and_harms_nothing()
    {
        TrainerOptions options = new() { CheckpointFolder = _folder, Resume = true };
        using (TinyRun first = new(new TinyOptions { Trainer = options }))
        {
            _ = await first.Run();
        }

        foreach ((TinyOptions other, string named) in ((TinyOptions, string)[])
        [
            (new TinyOptions { Trainer = options with { Seed = 1 } }, "seed"),
            (new TinyOptions { Trainer = options, Samples = 39 }, "samples"),
            (new TinyOptions { Trainer = options, Rank = 3 }, "lora_A"),
            (new TinyOptions { Trainer = options, Rule = new Sgd() }, "AdamW"),
            (new TinyOptions { Trainer = options, Rule = new AdamW { AmsGrad = true } }, "optimizer state"),
        ])
        {
            using TinyRun run = new(other);
            List<int[]> before = run.Bits();
            Assert.That(async () => await run.Run(), Throws.TypeOf<CheckpointException>().With.Message.Contains(named), named);
            Assert.That(async () => await run.Run(), Throws.TypeOf<CheckpointException>(), "again: nothing was begun");
            Assert.That(run.Bits(), Is.EqualTo(before));
        }
    }

    [Test]
    public async Task Evaluations_stop_the_run_and_the_best_weights_remain()
    {
        TrainerOptions options = new()
        {
            EvaluateEvery = 1,
            EvaluateAtStart = true,
            EarlyStopping = new EarlyStoppingOptions { Patience = 3 },
            CheckpointFolder = _folder,
            KeepBest = true,
        };
        // A rate far too high: the held-out loss soon rises.
        using TinyRun run = new(new TinyOptions { TrainBase = true, Evaluates = true, Steps = 200, LearningRate = 0.3, Samples = 6, Trainer = options });
        List<int[]>? best = null;
        List<EvaluationCompleted> evaluations = [];
        TrainingFinished? finished = null;
        await foreach (TrainingEvent e in run.Trainer.RunAsync())
        {
            if (e is EvaluationCompleted evaluation)
            {
                evaluations.Add(evaluation);
                best = evaluation.IsBest ? run.Bits() : best;
            }

            finished = e as TrainingFinished;
        }

        Assert.Multiple(() =>
        {
            Assert.That(finished!.Reason, Is.EqualTo(FinishReason.EarlyStopped));
            Assert.That(finished.BestMetric, Is.EqualTo(evaluations.Min(e => e.Result.Loss)));
            Assert.That(evaluations.TakeLast(3).Any(e => e.IsBest), Is.False);
            Assert.That(run.Bits(), Is.EqualTo(best));
            Assert.That(evaluations[0].Step, Is.Zero);
            Assert.That(evaluations[0].Result.Samples, Is.EqualTo(9));
            Assert.That(evaluations[0].Result.Perplexity, Is.EqualTo(Math.Exp(evaluations[0].Result.Loss)));
        });
    }

    [Test]
    public async Task The_history_is_the_file_that_other_tools_read()
    {
        using TinyRun run = new(new TinyOptions { Evaluates = true, Trainer = new TrainerOptions { LogEvery = 5, CheckpointFolder = _folder } });
        List<TrainingEvent> events = await run.Run();
        string saved = events.OfType<CheckpointSaved>().Single().Path;
        using JsonDocument json = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(saved, "trainer_state.json")));
        List<StepCompleted> steps = [.. events.OfType<StepCompleted>()];
        JsonElement[] history = [.. json.RootElement.GetProperty("log_history").EnumerateArray()];
        Assert.Multiple(() =>
        {
            Assert.That(json.RootElement.GetProperty("global_step").GetInt64(), Is.EqualTo(12));
            Assert.That(json.RootElement.GetProperty("max_steps").GetInt64(), Is.EqualTo(12));
            Assert.That(json.RootElement.GetProperty("best_model_checkpoint").GetString(), Is.EqualTo("checkpoint-12"));
            Assert.That(history.Select(h => h.GetProperty("step").GetInt64()), Is.EqualTo(new[] { 5, 10, 12, 12 }));
            Assert.That(history[0].GetProperty("loss").GetDouble(), Is.EqualTo(steps.Take(5).Average(s => s.Result.Loss)).Within(1e-12));
            Assert.That(history[1].GetProperty("learning_rate").GetDouble(), Is.EqualTo(steps[9].Result.LearningRate));
            Assert.That(history[3].TryGetProperty("eval_loss", out _), Is.True);
            Assert.That(json.RootElement.GetProperty("num_input_tokens_seen").GetInt64(), Is.EqualTo(steps.Sum(s => s.Result.Tokens)));
        });
    }
}
