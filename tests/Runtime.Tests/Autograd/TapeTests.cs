namespace Graft.Runtime.Tests.Autograd;

public sealed class TapeTests
{
    private CpuDevice _device = null!;
    private Arena _weights = null!;
    private Arena _step = null!;

    [SetUp]
    public void Open()
    {
        _device = new CpuDevice(2);
        _weights = new Arena(_device, "weights", 1024);
        _step = new Arena(_device, "step", 1024);
    }

    [TearDown]
    public void Close()
    {
        _step.Dispose();
        _weights.Dispose();
        Assert.That(_device.Arenas, Is.Empty);
        _device.Dispose();
    }

    private Parameter Trainable(string name, params float[] values) =>
        new(name, _weights.Create<float>(new Shape(values.Length), values, MemoryCategory.Weights), trainable: true);

    private Tensor Constant(params float[] values) => _step.Create<float>(new Shape(values.Length), values, MemoryCategory.Activations);

    private static Tensor Mul(Tape t, Tensor x, Tensor y) => t.Apply(default(TestMul), x, y);

    private static Tensor Add(Tape t, Tensor x, Tensor y) => t.Apply(default(TestAdd), x, y);

    private static Tensor Sum(Tape t, Tensor x) => t.Apply(default(TestSum), x);

    [Test]
    public void Gradients_follow_the_chain_rule_and_meet_at_shared_tensors()
    {
        Parameter w = Trainable("w", 2, 3);
        using Tape tape = new(_step);
        using Scope scope = _step.Enter("step");
        Tensor x = Constant(5, 7);
        Tensor y = Mul(tape, w.Value, x);           // w x
        Tensor loss = Sum(tape, Add(tape, Mul(tape, y, y), y)); // Σ (w x)² + w x
        tape.Backward(loss);
        Assert.That(loss.ReadScalar(), Is.EqualTo(100 + 441 + 10 + 21));
        Assert.That(w.Gradient!.ToArray<float>(), Is.EqualTo(new float[] { (2 * 10 * 5) + 5, (2 * 21 * 7) + 7 }));
        Assert.That(tape.Count, Is.Zero);
    }

    [Test]
    public void A_second_backward_adds_and_clearing_starts_anew()
    {
        Parameter w = Trainable("w", 2, 3);
        using Tape tape = new(_step);
        for (int i = 1; i <= 2; i++)
        {
            using Scope scope = _step.Enter("step");
            tape.Backward(Sum(tape, Mul(tape, w.Value, Constant(5, 7))));
            Assert.That(w.Gradient!.ToArray<float>(), Is.EqualTo(new float[] { 5 * i, 7 * i }));
        }

        w.ClearGradient();
        using Scope last = _step.Enter("step");
        tape.Backward(Sum(tape, w.Value), 0.5f);
        Assert.That(w.Gradient!.ToArray<float>(), Is.EqualTo(new[] { 0.5f, 0.5f }));
    }

    [Test]
    public void Nothing_is_recorded_without_a_trainable_input()
    {
        Parameter w = Trainable("w", 2);
        w.Trainable = false;
        using Tape tape = new(_step);
        using Scope scope = _step.Enter("step");
        Tensor y = Mul(tape, w.Value, Constant(4));
        Assert.That(tape.Count, Is.Zero);
        Assert.That(() => tape.Backward(Sum(tape, y)), Throws.TypeOf<AutogradException>());
        w.Trainable = true;
        Tape none = Tape.None(_step);
        _ = Mul(none, w.Value, Constant(4));
        Assert.That(none.Count, Is.Zero);
    }

    [Test]
    public void Memory_goes_back_during_backward()
    {
        // Eight products in a row: forward holds all of them, backward must never hold more than that plus two gradients.
        Parameter w = Trainable("w", new float[1024]);
        using Tape tape = new(_step);
        using (Scope scope = _step.Enter("step"))
        {
            Tensor y = w.Value;
            for (int i = 0; i < 8; i++)
            {
                y = Mul(tape, y, w.Value);
            }

            Tensor loss = Sum(tape, y);
            long forward = _step.Report().Current.Total;
            Assert.That(forward, Is.EqualTo((8 * 4096) + 64));
            _step.ResetPeak();
            tape.Backward(loss);
            Assert.That(_step.Report().Peak.Total, Is.LessThanOrEqualTo(forward + (4 * 4096) + 512));
            Assert.That(_step.Report().Current.Total, Is.EqualTo(64), "only the loss is left");
            Assert.That(() => y.AsSpan<float>(), Throws.TypeOf<ObjectDisposedException>());
            Assert.That(loss.ReadScalar(), Is.Zero);
        }

        Assert.That(_step.Report().Current.Total, Is.Zero);
    }

    [Test]
    public void A_scope_frees_what_no_node_retains()
    {
        Parameter w = Trainable("w", new float[1024]);
        using Tape tape = new(_step);
        using Scope step = _step.Enter("step");
        Tensor kept;
        Tensor unused;
        using (Scope layer = _step.Enter("layer"))
        {
            unused = Constant(new float[1024]);
            kept = layer.Keep(Mul(tape, w.Value, Add(tape, w.Value, w.Value)));
        }

        Assert.That(unused.IsAlive, Is.False);
        Assert.That(() => unused.AsSpan<float>(), Throws.TypeOf<ObjectDisposedException>().With.Message.Contains("layer").And.Message.Contains("(1024)"));
        Assert.That(_step.Report().Current.Total, Is.EqualTo(2 * 4096), "the product, and the sum that its backward reads");
        tape.Backward(Sum(tape, kept));
        Assert.That(_step.Report().Current.Total, Is.EqualTo(64));
    }

    [Test]
    public void A_checkpointed_region_gives_the_same_gradients_with_less_memory()
    {
        Parameter a = Trainable("a", 2, -3);
        Parameter b = Trainable("b", 0.5f, 4);
        Tensor Body(Tape t, ReadOnlySpan<Tensor> x) => Mul(t, Mul(t, Mul(t, x[0], b.Value), x[0]), b.Value);
        float[][] gradients = new float[4][];
        for (int i = 0; i < 2; i++)
        {
            using Tape tape = new(_step);
            using Scope scope = _step.Enter("step");
            Tensor x = Mul(tape, a.Value, a.Value);
            Tensor y = i == 0 ? Body(tape, [x]) : tape.Checkpoint("region", Body, x);
            y = i == 0 ? Body(tape, [y]) : tape.Checkpoint("outer", (t, z) => t.Checkpoint("inner", Body, z[0]), y);
            Assert.That(tape.Count, Is.EqualTo(i == 0 ? 7 : 3));
            List<string> complete = [];
            tape.GradientComplete = p => complete.Add(p.Name);
            tape.Backward(Sum(tape, y));
            gradients[i] = a.Gradient!.ToArray<float>();
            gradients[i + 2] = b.Gradient!.ToArray<float>();
            a.ClearGradient();
            b.ClearGradient();
            Assert.That(complete, Is.EqualTo(new[] { "b", "a" }));
        }

        Assert.That(gradients[1], Is.EqualTo(gradients[0]));
        Assert.That(gradients[3], Is.EqualTo(gradients[2]));
        Assert.That(_step.Report().Current.Total, Is.Zero);
    }

    [Test]
    public void Views_share_memory_and_pass_gradients()
    {
        Parameter w = Trainable("w", 1, 2, 3, 4, 5, 6);
        using Tape tape = new(_step);
        using Scope scope = _step.Enter("step");
        Tensor tail = tape.View(w.Value, new Shape(2), 3);
        Assert.That(tail.ToArray<float>(), Is.EqualTo(new float[] { 4, 5 }));
        Tensor all = tape.View(Mul(tape, w.Value, w.Value), new Shape(2, 3));
        tape.Backward(Sum(tape, Add(tape, tape.View(all, new Shape(2), 4), Mul(tape, tail, tail))));
        Assert.That(w.Gradient!.ToArray<float>(), Is.EqualTo(new float[] { 0, 0, 0, 8, 20, 12 }));
        Assert.That(w.Value.ToArray<float>(), Has.Length.EqualTo(6), "a view's end must not free the weight");
        Assert.That(() => tape.View(w.Value, new Shape(2), 5), Throws.TypeOf<ShapeException>());
    }

    [Test]
    public void A_watched_tensor_gets_its_gradient_and_a_composite_its_own_backward()
    {
        using Tape tape = new(_step);
        using Scope scope = _step.Enter("step");
        Tensor x = tape.Watch(Constant(3, 4));
        tape.Backward(Sum(tape, tape.ApplyComposite(default(TestTriple), Mul(tape, x, x))));
        Assert.That(tape.GradientOf(x)!.ToArray<float>(), Is.EqualTo(new float[] { 18, 24 }));
        tape.Clear();
        Assert.That(() => tape.GradientOf(Constant(1)), Throws.TypeOf<AutogradException>());
    }

    [Test]
    public void Keeping_the_recording_allows_a_second_walk()
    {
        Parameter w = Trainable("w", 3);
        using Tape tape = new(_step);
        using Scope scope = _step.Enter("step");
        Tensor loss = Sum(tape, Mul(tape, w.Value, w.Value));
        tape.Backward(loss, keep: true);
        float first = w.Gradient!.AsSpan<float>()[0];
        w.ClearGradient();
        tape.Backward(loss, 2);
        Assert.That((first, w.Gradient!.AsSpan<float>()[0]), Is.EqualTo((6f, 12f)));
    }

    [Test]
    public void An_op_without_gradient_refuses_inputs_that_require_one()
    {
        Parameter w = Trainable("w", 3, 9);
        using Tape tape = new(_step);
        using Scope scope = _step.Enter("step");
        Assert.That(() => tape.Evaluate(default(TestArgMax), w.Value), Throws.TypeOf<AutogradException>());
        Assert.That(tape.Evaluate(default(TestArgMax), Tape.Detach(w.Value))[0].ReadScalar(), Is.EqualTo(1));
    }

    [Test]
    public void Sites_can_be_captured_and_replaced()
    {
        Parameter w = Trainable("w", 3);
        using Tape tape = new(_step);
        using Scope scope = _step.Enter("step");
        Tensor leaf = tape.Watch(Constant(1));
        List<string> seen = [];
        tape.Tap = (name, x) =>
        {
            seen.Add(name);
            return Add(tape, x, leaf);
        };
        Tensor y = tape.Site("hidden", Mul(tape, w.Value, Constant(2)));
        tape.Backward(Sum(tape, Mul(tape, y, y)));
        Assert.That(seen, Is.EqualTo(new[] { "hidden" }));
        Assert.That(tape.GradientOf(leaf)!.ReadScalar(), Is.EqualTo(14));
    }

    [Test]
    public void A_hundred_steps_leave_nothing_behind_and_take_nothing_new()
    {
        Parameter w = Trainable("w", new float[300]);
        using Tape tape = new(_step);
        int allocations = 0;
        for (int i = 0; i < 100; i++)
        {
            using (Scope scope = _step.Enter("step"))
            {
                Tensor y = w.Value;
                for (int k = 0; k < 10; k++)
                {
                    y = Mul(tape, y, Constant(new float[300]));
                }

                tape.Backward(Sum(tape, y));
            }

            Assert.That(_step.Report().Current.Total, Is.Zero);
            if (i == 1)
            {
                allocations = _step.Report().SlabAllocations;
            }
        }

        Assert.That(_step.Report().SlabAllocations, Is.EqualTo(allocations));
    }

    [Test]
    public void The_meta_device_counts_the_same_bytes()
    {
        long[] peaks = new long[2];
        MetaDevice meta = new();
        Device[] devices = [_device, meta];
        for (int i = 0; i < 2; i++)
        {
            using Arena weights = new(devices[i], "weights", 1024);
            using Arena step = new(devices[i], "step", 1024);
            Parameter w = new("w", weights.Zeros(new Shape(77), DType.F32, MemoryCategory.Weights), true);
            using Tape tape = new(step);
            using (Scope scope = step.Enter("step"))
            {
                Tensor loss = Sum(tape, Mul(tape, Mul(tape, w.Value, w.Value), w.Value));
                tape.Backward(loss);
                Assert.That(loss.ReadScalar(), i == 0 ? Is.Zero : Is.NaN);
            }

            peaks[i] = step.Report().Peak.Total + weights.Report().Peak.Total;
        }

        Assert.That(peaks[1], Is.EqualTo(peaks[0]).And.GreaterThan(5 * 320));
        meta.Dispose();
    }
}
