using Graft.Runtime;
using Graft.Training.Checkpoints;

namespace Graft.Training.Tests.Checkpoints;

public class RunCheckpointTests
{
    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Path.Combine(TestContext.CurrentContext.WorkDirectory, "runs", Guid.NewGuid().ToString("N"));

    [TearDown]
    public void RemoveFolder()
    {
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    [Test]
    public void What_was_written_is_read_to_the_last_bit()
    {
        double[] numbers = [0.1, double.Epsilon, double.MaxValue, double.NaN, double.NegativeInfinity, -0.0];
        StateWriter state = new("numbers");
        for (int i = 0; i < numbers.Length; i++)
        {
            state.Put("n" + i, numbers[i]);
        }

        state.Put("whole", long.MaxValue);
        state.Put("text", "ä\"\n");
        state.Put("flag", true);
        state.Put("array", new long[] { 1, -2 });
        RunCheckpoint.Write(_folder, 7, 0.5, [state]);

        using RunCheckpoint checkpoint = RunCheckpoint.Open(_folder);
        using StateReader read = checkpoint.Section("numbers");
        Assert.Multiple(() =>
        {
            Assert.That(checkpoint.Step, Is.EqualTo(7));
            Assert.That(checkpoint.Metric, Is.EqualTo(0.5));
            IEnumerable<long> bits = numbers.Select((_, i) => BitConverter.DoubleToInt64Bits(read.Double("n" + i)));
            Assert.That(bits, Is.EqualTo(numbers.Select(BitConverter.DoubleToInt64Bits)));
            Assert.That(read.Int64("whole"), Is.EqualTo(long.MaxValue));
            Assert.That(read.Text("text"), Is.EqualTo("ä\"\n"));
            Assert.That(read.Boolean("flag"), Is.True);
            Assert.That(read.Array<long>("array"), Is.EqualTo(new long[] { 1, -2 }));
            Assert.That(() => read.Int64("text"), Throws.TypeOf<CheckpointException>().With.Message.Contains("text"));
            Assert.That(() => read.Double("none"), Throws.TypeOf<CheckpointException>().With.Message.Contains("none"));
            Assert.That(() => read.Array<int>("gone"), Throws.TypeOf<CheckpointException>().With.Message.Contains("gone"));
            Assert.That(() => checkpoint.Section("absent"), Throws.TypeOf<CheckpointException>().With.Message.Contains("absent"));
        });
    }

    [TestCase("numbers.safetensors")]
    [TestCase(RunCheckpoint.FieldsName)]
    [TestCase("note.json")]
    public void A_changed_cut_or_missing_file_is_named(string file)
    {
        string path = Path.Combine(_folder, file);
        Write(_folder, 1);
        byte[] bytes = File.ReadAllBytes(path);
        bytes[^2] ^= 1;
        File.WriteAllBytes(path, bytes);
        Assert.That(() => RunCheckpoint.Open(_folder), Throws.TypeOf<CheckpointException>().With.Message.Contains(file).And.Message.Contains("SHA-256"));
        File.WriteAllBytes(path, bytes[..^1]);
        Assert.That(() => RunCheckpoint.Open(_folder), Throws.TypeOf<CheckpointException>().With.Message.Contains(file));
        File.Delete(path);
        Assert.That(() => RunCheckpoint.Open(_folder), Throws.TypeOf<CheckpointException>().With.Message.Contains(file));
    }

    [TestCase("")]
    [TestCase("{")]
    [TestCase("[]")]
    [TestCase("{\"format\":\"graft-run\",\"version\":2,\"step\":1,\"files\":[]}")]
    [TestCase("{\"format\":\"graft-run\",\"version\":1,\"step\":1,\"files\":[{\"name\":\"../state.json\",\"bytes\":1,\"sha256\":\"\"}]}")]
    public void A_broken_manifest_is_a_typed_error(string text)
    {
        Write(_folder, 1);
        File.WriteAllText(Path.Combine(_folder, RunCheckpoint.ManifestName), text);
        Assert.That(() => RunCheckpoint.Open(_folder), Throws.TypeOf<CheckpointException>());
    }

    [Test]
    public void The_last_and_the_best_are_kept()
    {
        CheckpointStore store = new(_folder, keepLast: 2);
        double[] losses = [3, 1, 2, 4, 5];
        for (int i = 0; i < losses.Length; i++)
        {
            _ = store.Save(10 * (i + 1), losses[i], [State(i)]);
        }

        Assert.That(store.Paths.Select(Path.GetFileName), Is.EqualTo(new[] { "checkpoint-20", "checkpoint-40", "checkpoint-50" }));
        Assert.That(Path.GetFileName(store.BestPath), Is.EqualTo("checkpoint-20"));
    }

    [Test]
    public void A_broken_latest_is_passed_over()
    {
        CheckpointStore store = new(_folder, keepLast: 3);
        for (int i = 1; i <= 3; i++)
        {
            _ = store.Save(i, null, [State(i)]);
        }

        File.AppendAllText(Path.Combine(store.Paths[2], RunCheckpoint.FieldsName), " ");
        File.Delete(Path.Combine(store.Paths[1], RunCheckpoint.ManifestName));
        List<string> errors = [];
        using RunCheckpoint? latest = store.OpenLatest(e => errors.Add(e.Message));
        Assert.That(latest!.Step, Is.EqualTo(1));
        Assert.That(errors, Has.Count.EqualTo(2));
        Assert.That(errors[0], Does.Contain("checkpoint-3"));
    }

    [Test]
    public void Leftovers_of_a_killed_process_are_no_checkpoints_and_are_removed()
    {
        CheckpointStore store = new(_folder);
        _ = store.Save(5, null, [State(5)]);
        Directory.Move(store.Paths[0], Path.Combine(_folder, ".checkpoint-5.1-2-3.tmp"));
        Assert.That(store.OpenLatest(), Is.Null);
        store.RemoveLeftovers();
        Assert.That(Directory.EnumerateFileSystemEntries(_folder), Is.Empty);
    }

    [Test]
    public void Scalars_of_examples_survive()
    {
        ExampleScalars scalars = new();
        scalars.Set("reference", ulong.MaxValue, -1.5);
        scalars.Set("reference", 3, 0.25);
        scalars.Set("loss", 3, double.NaN);
        StateWriter state = new("examples");
        scalars.Save(state);
        RunCheckpoint.Write(_folder, 1, null, [state]);
        using RunCheckpoint checkpoint = RunCheckpoint.Open(_folder);
        using StateReader reader = checkpoint.Section("examples");
        ExampleScalars read = new();
        read.Load(reader);
        Assert.That(read.Get("reference", ulong.MaxValue), Is.EqualTo(-1.5));
        Assert.That(read.Get("reference", 3), Is.EqualTo(0.25));
        Assert.That(read.Get("loss", 3), Is.NaN);
        Assert.That(read.Get("loss", 4), Is.Null);
    }

    private static void Write(string path, long step)
    {
        RunCheckpoint.Write(path, step, null, [State(step)], new Dictionary<string, string> { ["note.json"] = "{ }" });
    }

    private static StateWriter State(long step)
    {
        StateWriter state = new("numbers");
        state.Put("step", step);
        state.Put("array", new double[] { step });
        return state;
    }
}
