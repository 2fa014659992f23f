using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.Autograd;

/// <summary>What a tape promises of a whole step: bits, memory, garbage.</summary>
public class NetworkTests
{
    // Bytes of managed memory per recorded op, forward and backward together: below 512 once the storage objects are warm.
    // An op with two inputs that need gradients makes a result (tensor, 88), a node with its array of inputs (140) and two gradients (88 each); storage objects are reused.
    private const int GarbagePerOp = 512;

    [TestCase(1, false)]
    [TestCase(2, false)]
    [TestCase(3, false)]
    [TestCase(3, true)]
    public void Loss_and_gradients_have_the_same_bits_on_any_number_of_threads_and_with_recomputation(int threads, bool checkpoint)
    {
        (double expected, float[][] gradients) = Step(1, checkpoint: false);
        (double loss, float[][] actual) = Step(threads, checkpoint);
        Assert.That(BitConverter.DoubleToInt64Bits(loss), Is.EqualTo(BitConverter.DoubleToInt64Bits(expected)));
        for (int i = 0; i < gradients.Length; i++)
        {
            Assert.That(actual[i].Select(BitConverter.SingleToInt32Bits), Is.EqualTo(gradients[i].Select(BitConverter.SingleToInt32Bits)), $"parameter {i}");
        }
    }

    [Test]
    public void Gradients_of_a_split_batch_add_up_to_those_of_the_whole()
    {
        (_, float[][] whole) = Step(2, checkpoint: false);
        using CpuDevice device = new(2);
        using SmallNetwork network = new(device, 700, 32);
        using Arena step = new(device, "step", 1 << 16);
        using Tape tape = new(step);
        int[] ids = Ids(4, 25, 700);
        for (int i = 0; i < 4; i += 2)
        {
            using Scope scope = tape.Enter("micro-batch");
            tape.Backward(network.Loss(tape, ids[(i * 25)..((i + 2) * 25)], 2));
        }

        for (int i = 0; i < whole.Length; i++)
        {
            double[] expected = Array.ConvertAll(whole[i], v => (double)v);
            double[] actual = Array.ConvertAll(network.Parameters[i].Gradient!.ToArray<float>(), v => (double)v);
            Worst.Within(actual, expected, 1e-6 * Math.Max(1, expected.Max(Math.Abs)), 0, network.Parameters[i].Name, network.Parameters[i].Shape);
        }
    }

    [Test]
    public void Gradients_agree_with_those_in_doubles_and_those_with_differences()
    {
        using CpuDevice device = new(2);
        using SmallNetwork floats = new(device, 40, 8), doubles = new(device, 40, 8, DType.F64);
        using Arena step = new(device, "step", 1 << 16);
        using Tape tape = new(step);
        int[] ids = Ids(2, 7, 40);
        foreach (SmallNetwork network in (SmallNetwork[])[floats, doubles])
        {
            using Scope scope = tape.Enter("step");
            tape.Backward(network.Loss(tape, ids, 2));
        }

        for (int p = 0; p < floats.Parameters.Length; p++)
        {
            Parameter exact = doubles.Parameters[p];
            double[] expected = exact.Gradient!.ToArray<double>();
            double[] actual = Array.ConvertAll(floats.Parameters[p].Gradient!.ToArray<float>(), v => (double)v);
            Worst.Within(actual, expected, 2e-6 * Math.Max(1, expected.Max(Math.Abs)), 0, exact.Name, exact.Shape);
            for (int i = 0; i < 6; i++)
            {
                int at = new Rng(3).Below(i, expected.Length);
                double x = exact.Value.AsSpan<double>()[at];
                double difference = (LossAt(doubles, exact, at, x + 1e-5, ids, step) - LossAt(doubles, exact, at, x - 1e-5, ids, step)) / 2e-5;
                exact.Value.AsSpan<double>()[at] = x;
                Assert.That(expected[at], Is.EqualTo(difference).Within(1e-7), $"{exact.Name} element {at}");
            }
        }
    }

    [Test]
    public void A_thousand_steps_leave_no_memory_behind_and_ask_the_device_for_none()
    {
        using CpuDevice device = new(2);
        using SmallNetwork network = new(device, 30, 8);
        using Arena step = new(device, "step", 4096);
        using Tape tape = new(step);
        int[] ids = Ids(2, 6, 30);
        ArenaReport? second = null;
        for (int i = 0; i < 1000; i++)
        {
            step.ResetPeak();
            using (tape.Enter("step"))
            {
                tape.Backward(network.Loss(tape, ids, 2));
            }

            ArenaReport report = step.Report();
            Assert.That(report.Current.Total, Is.Zero, $"bytes held after step {i}");
            Assert.That(tape.Count, Is.Zero);
            if (i == 1)
            {
                second = report;
            }
            else if (i > 1)
            {
                Assert.That(report, Is.EqualTo(second), $"peak and slabs of step {i}");
            }
        }

        Assert.That(step.Report().Peak.Total, Is.Positive);
    }

    [TestCase(1)]
    [TestCase(2)]
    public void A_warm_step_makes_little_managed_garbage_per_op(int threads)
    {
        using CpuDevice device = new(threads);
        using SmallNetwork network = new(device, 30, 8);
        using Arena step = new(device, "step", 4096);
        using Tape tape = new(step);
        int[] ids = Ids(2, 6, 30);
        long bytes = 0;
        int ops = 0;
        for (int i = 0; i < 5; i++)
        {
            using Scope scope = tape.Enter("step");
            long before = GC.GetAllocatedBytesForCurrentThread();
            Tensor loss = network.Loss(tape, ids, 2);
            ops = tape.Count;
            tape.Backward(loss);
            bytes = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        TestContext.Out.WriteLine($"{bytes} bytes for {ops} recorded ops: {bytes / ops} each");
        Assert.That(bytes, Is.LessThanOrEqualTo(ops * GarbagePerOp), $"{bytes} bytes for {ops} recorded ops");
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Meta_predicts_the_peak_of_a_step_to_the_byte(bool checkpoint)
    {
        using CpuDevice cpu = new(2);
        using MetaDevice meta = new();
        MemoryUse[] peaks = new MemoryUse[2];
        int[] ids = Ids(4, 25, 700);
        foreach (Device device in (Device[])[cpu, meta])
        {
            using SmallNetwork network = new(device, 700, 32);
            using Arena step = new(device, "step", 4096);
            using Tape tape = new(step);
            for (int i = 0; i < 2; i++)
            {
                using Scope scope = tape.Enter("step");
                tape.Backward(network.Loss(tape, ids, 4, checkpoint));
            }

            peaks[device == cpu ? 0 : 1] = step.Report().Peak;
        }

        Assert.That(peaks[1], Is.EqualTo(peaks[0]));
        Assert.That(peaks[0].Total, Is.GreaterThan(4 * 24 * 700 * 4)); // the logits at least
    }

    private static (double Loss, float[][] Gradients) Step(int threads, bool checkpoint)
    {
        using CpuDevice device = new(threads);
        using SmallNetwork network = new(device, 700, 32); // logits of 4 x 24 x 700 are three chunks
        using Arena step = new(device, "step", 1 << 16);
        using Tape tape = new(step);
        using Scope scope = tape.Enter("step");
        Tensor loss = network.Loss(tape, Ids(4, 25, 700), 4, checkpoint);
        tape.Backward(loss);
        return (loss.ReadScalar(), [.. network.Parameters.Select(p => p.Gradient!.ToArray<float>())]);
    }

    private static double LossAt(SmallNetwork network, Parameter parameter, int at, double value, int[] ids, Arena step)
    {
        parameter.Value.AsSpan<double>()[at] = value;
        using Scope scope = step.Enter("difference");
        return network.Loss(Tape.None(step), ids, 2).ReadScalar();
    }

    private static int[] Ids(int batch, int length, int vocabulary)
    {
        int[] ids = new int[batch * length];
        for (int i = 0; i < ids.Length; i++)
        {
            ids[i] = new Rng(5).Below(i, vocabulary);
        }

        return ids;
    }
}
