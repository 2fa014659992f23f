using System.Diagnostics;
using Graft.Runtime;
using Graft.Training.Checkpoints;

namespace Graft.Training.Tests.Loop;

/// <summary>A run in a process of its own, killed at random instants.</summary>
public class KillTests
{
    private const int Kills = 20;

    /// <summary>Both sides make the same run; how often it saves does not matter for its numbers.</summary>
    internal static TinyOptions Shape(string? folder, long saveEvery) => new()
    {
        Steps = 5000,
        Dropout = 0.1,
        Trainer = new TrainerOptions { CheckpointFolder = folder, SaveEvery = saveEvery, Resume = true, LogEvery = 50, Seed = 11 },
    };

    [Test]
    public async Task Killed_at_any_instant_and_resumed_the_run_ends_with_the_same_bits()
    {
        string folder = Path.Combine(TestContext.CurrentContext.WorkDirectory, "runs", Guid.NewGuid().ToString("N"));
        RngSequence random = new Rng(5).Sequence();
        CheckpointStore store = new(folder);
        try
        {
            for (int kill = 0; kill < Kills; kill++)
            {
                string before = string.Join(' ', store.Paths);
                using Process child = Start(folder);
                Stopwatch watch = Stopwatch.StartNew();
                while (string.Join(' ', store.Paths) == before && !child.HasExited && watch.Elapsed < TimeSpan.FromSeconds(30))
                {
                    await Task.Delay(5);
                }

                await Task.Delay(random.NextBelow(60));
                Assert.That(child.HasExited, Is.False, "the child ended by itself");
                child.Kill();
                await child.WaitForExitAsync();
            }

            using RunCheckpoint? latest = store.OpenLatest(e => Assert.Fail("a checkpoint under its name is broken: " + e.Message));
            Assert.That(latest!.Step, Is.GreaterThanOrEqualTo(Kills / 2).And.LessThan(5000));
            TestContext.Out.WriteLine($"after {Kills} kills at step {latest.Step}");
            using TinyRun resumed = new(Shape(folder, 0));
            using TinyRun whole = new(Shape(null, 0));
            List<TrainingEvent> events = await resumed.Run();
            _ = await whole.Run();
            Assert.That(events.OfType<TrainingStarted>().Single().Step, Is.EqualTo(latest.Step));
            Assert.That(resumed.Bits(), Is.EqualTo(whole.Bits()));
            Assert.That(resumed.Trainer.State.ToJson(), Is.EqualTo(whole.Trainer.State.ToJson()));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static Process Start(string folder)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) != "dotnet")
        {
            start.FileName = "dotnet";
        }

        foreach (string argument in (string[])["exec", typeof(KillTests).Assembly.Location, ChildProgram.Command, folder])
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }
}
