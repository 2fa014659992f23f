using Graft.Models.Adapters;
using Graft.Runtime;
using Graft.Training.Optimizers;
using Graft.Training.Tests.Loop;

namespace Graft.Training.Tests.Cuda;

/// <summary>Runs of a small Llama on CUDA: against the CPU, resumed, and planned.</summary>
[Category("CudaEmulator")]
public sealed class LanguageCudaTests
{
    private static readonly TinyOptions s_run = new() { Kind = DeviceKind.Cuda, Steps = 5, Shuffle = false, LearningRate = 0.01 };
    private static readonly LoraConfig s_lora = new() { TargetModules = ModulePattern.AllLinear, Rank = 2 };

    [Test]
    public async Task Steps_agree_with_the_cpu([Values] bool adapter, [Values] bool checkpointing)
    {
        // SGD is linear in the gradient; Adam's first steps would turn the rounding of a gradient near zero into whole steps of either sign.
        TinyOptions shape = s_run with { Checkpointing = checkpointing, Rule = new Sgd(), LearningRate = 0.5, Accumulation = 2 };
        using LanguageRun cpu = new(shape with { Kind = DeviceKind.Cpu }, adapter: adapter ? s_lora : null);
        using LanguageRun cuda = new(shape, adapter: adapter ? s_lora : null);
        await Agree(cpu, cuda, 1e-4);
    }

    [Test]
    public async Task Steps_of_adamw_agree_with_the_cpu()
    {
        // A normal start, for the same reason: with B = 0 the gradients of A begin as zeros.
        LoraConfig config = s_lora with { Initialization = LoraInitialization.Random };
        using LanguageRun cpu = new(s_run with { Kind = DeviceKind.Cpu }, adapter: config);
        using LanguageRun cuda = new(s_run, adapter: config);
        await Agree(cpu, cuda, 1e-3);
    }

    [Test]
    public async Task Resumed_is_uninterrupted_to_the_last_bit([Values] bool adapter)
    {
        string folder = Path.Combine(TestContext.CurrentContext.WorkDirectory, "runs", Guid.NewGuid().ToString("N"));
        AdapterConfig? config = adapter ? s_lora with { Dropout = 0.1f } : null;
        TinyOptions shape = s_run with { Steps = 8, Shuffle = true, DType = adapter ? DType.BF16 : DType.F32 };
        TrainerOptions options = new() { CheckpointFolder = folder, SaveEvery = 3, Resume = true };
        try
        {
            using LanguageRun whole = new(shape, adapter: config);
            _ = await whole.Run();
            using (LanguageRun first = new(shape with { Trainer = options }, adapter: config))
            {
                await foreach (TrainingEvent e in first.Trainer.RunAsync())
                {
                    if (e is StepCompleted && e.Step == 5)
                    {
                        break;
                    }
                }
            }

            using LanguageRun resumed = new(shape with { Trainer = options }, adapter: config);
            Assert.That((await resumed.Run()).OfType<TrainingStarted>().Single().Step, Is.EqualTo(3));
            Assert.That(Trained(resumed), Is.EqualTo(Trained(whole)));
        }
        finally
        {
            if (Directory.Exists(folder))
            {
                Directory.Delete(folder, recursive: true);
            }
        }
    }

    [Test]
    public async Task A_card_that_is_lost_ends_the_run_with_a_typed_error_and_its_checkpoint_goes_on()
    {
        CudaTestDevice.Require();
        if (CudaTestDevice.IsGpu)
        {
            Assert.Ignore("a card cannot be taken away from within");
        }

        string folder = Path.Combine(TestContext.CurrentContext.WorkDirectory, "runs", Guid.NewGuid().ToString("N"));
        TinyOptions shape = s_run with { Steps = 8 };
        TrainerOptions options = new() { CheckpointFolder = folder, SaveEvery = 3, Resume = true };
        try
        {
            using LanguageRun whole = new(shape, adapter: s_lora);
            _ = await whole.Run();
            List<float[]> expected = Trained(whole);
            using (LanguageRun first = new(shape with { Trainer = options }, adapter: s_lora))
            {
                CudaException error = Assert.CatchAsync<CudaException>(async () =>
                {
                    await foreach (TrainingEvent e in first.Trainer.RunAsync())
                    {
                        if (e is StepCompleted && e.Step == 5)
                        {
                            EmulatedDriver.LoseDevices();
                        }
                    }
                })!;
                Assert.That(error.IsSticky, Is.True, error.Message);
            }

            EmulatedDriver.Reset();
            using LanguageRun resumed = new(shape with { Trainer = options }, adapter: s_lora);
            Assert.That((await resumed.Run()).OfType<TrainingStarted>().Single().Step, Is.EqualTo(3));
            Assert.That(Trained(resumed), Is.EqualTo(expected));
        }
        finally
        {
            EmulatedDriver.Reset();
            if (Directory.Exists(folder))
            {
                Directory.Delete(folder, recursive: true);
            }
        }
    }

    [Test]
    public async Task A_run_goes_back_to_a_snapshot([Values(DType.F32, DType.BF16)] DType weights)
    {
        TinyOptions shape = new() { Kind = DeviceKind.Cuda, Dropout = 0.2, Evaluates = true, DType = weights, Trainer = new TrainerOptions { EvaluateEvery = 5 } };
        using TinyRun whole = new(shape);
        _ = await whole.Run();
        using TinyRun run = new(shape);
        await Until(5);
        TrainerSnapshot snapshot = run.Trainer.TakeSnapshot();
        await Until(9);
        run.Trainer.Restore(snapshot);
        Assert.That(run.Trainer.State.GlobalStep, Is.EqualTo(5));
        _ = await run.Run();
        Assert.That(run.Bits(), Is.EqualTo(whole.Bits()));

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
    public async Task Memory_is_planned_to_the_byte(
        [Values] bool adapter, [Values] bool checkpointing, [Values(DType.F32, DType.BF16)] DType weights, [Values(DType.F32, DType.BF16)] DType activations)
    {
        TinyOptions shape = s_run with { Steps = 1, Length = 40, Checkpointing = checkpointing, DType = weights, Activations = activations };
        AdapterConfig? config = adapter ? s_lora with { Dropout = 0.1f } : null;
        await PlanIsPeak(shape, config);
    }

    [Test]
    public async Task What_dora_takes_is_planned_to_the_byte([Values(DType.F32, DType.BF16)] DType activations)
    {
        TinyOptions shape = s_run with { Steps = 2, DType = DType.BF16, Activations = activations };
        DoraConfig config = new() { TargetModules = ModulePattern.AllLinear, Rank = 2 };
        await PlanIsPeak(shape, config);
    }

    [Test]
    public async Task Evaluations_agree_with_the_cpu()
    {
        TinyOptions shape = s_run with { Steps = 1, Evaluates = true, Trainer = new TrainerOptions { EvaluateAtStart = true } };
        using LanguageRun cpu = new(shape with { Kind = DeviceKind.Cpu });
        using LanguageRun cuda = new(shape);
        EvaluationResult expected = (await cpu.Run()).OfType<EvaluationCompleted>().First().Result;
        EvaluationResult actual = (await cuda.Run()).OfType<EvaluationCompleted>().First().Result;
        Assert.That(actual.Loss, Is.EqualTo(expected.Loss).Within(1e-5));
        Assert.That(actual with { Loss = 0 }, Is.EqualTo(expected with { Loss = 0 }));
    }

    private static async Task PlanIsPeak(TinyOptions shape, AdapterConfig? config)
    {
        using LanguageRun real = new(shape, adapter: config);
        StepCompleted step = (await real.Run()).OfType<StepCompleted>().First();
        using LanguageRun planned = new(shape with { Meta = true }, adapter: config);
        TrainingPlan plan = await TrainingPlan.OfAsync(planned.Trainer);
        Assert.That(plan.Persistent, Is.EqualTo(step.Memory));
        Assert.That(plan.StepPeak, Is.EqualTo(step.StepPeak));
    }

    private static async Task Agree(LanguageRun cpu, LanguageRun cuda, double tolerance)
    {
        StepResult[] expected = [.. (await cpu.Run()).OfType<StepCompleted>().Select(e => e.Result)];
        StepResult[] actual = [.. (await cuda.Run()).OfType<StepCompleted>().Select(e => e.Result)];
        Assert.That(actual.Select(r => r.Loss), Is.EqualTo(expected.Select(r => r.Loss)).Within(tolerance), "losses");
        Assert.That(actual.Select(r => r.GradientNorm), Is.EqualTo(expected.Select(r => r.GradientNorm)).Within(10 * tolerance), "norms");
        Assert.That(actual.Select(r => r.TargetTokens), Is.EqualTo(expected.Select(r => r.TargetTokens)));
        foreach ((float[] e, float[] a) in Trained(cpu).Zip(Trained(cuda)))
        {
            Closeness.AssertAbsolute("trained values", a, e, tolerance);
        }
    }

    private static List<float[]> Trained(LanguageRun run) => run.Adapter is null ? run.Values() : run.AdapterValues();
}
