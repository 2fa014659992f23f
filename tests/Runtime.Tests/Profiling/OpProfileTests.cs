using System.Diagnostics;
using System.Text.Json;
using Graft.Runtime.Tests.Autograd;

namespace Graft.Runtime.Tests.Profiling;

/// <summary>A profile counts every op once, whoever runs it, and its families add up to the whole.</summary>
public sealed class OpProfileTests
{
    private CpuDevice _device = null!;
    private Arena _step = null!;
    private OpProfile _profile = null!;

    [SetUp]
    public void Open()
    {
        _device = new CpuDevice(2);
        _step = new Arena(_device, "step", 1 << 16);
        _profile = new OpProfile(_device);
    }

    [TearDown]
    public void Close()
    {
        _step.Dispose();
        _device.Dispose();
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Every_op_of_a_step_is_counted_by_name_and_phase(bool checkpoint)
    {
        Dictionary<(string, ProfilePhase), OpFamilyCost> families = Step(checkpoint).ToDictionary(f => (f.Name, f.Phase));
        (string Name, int Block, int Outside)[] calls = [("linear", 4, 0), ("mat_mul", 2, 1), ("embedding", 0, 1), ("silu", 1, 0), ("gather", 0, 1), ("permute", 4, 0)];
        foreach ((string name, int block, int outside) in calls)
        {
            Assert.That(Calls(name, ProfilePhase.Forward), Is.EqualTo(block + outside), name);
            Assert.That(Calls(name, ProfilePhase.Recompute), Is.EqualTo(checkpoint ? block : 0), $"{name} again");

            // The gradient of a permutation is a permutation: the op inside the backward is in the same family and phase.
            Assert.That(Calls(name, ProfilePhase.Backward), Is.EqualTo((block + outside) * (name == "permute" ? 2 : 1)), $"{name} backward");
        }

        Assert.That(Calls("checkpoint", ProfilePhase.Recompute), Is.EqualTo(checkpoint ? 1 : 0));

        long Calls(string name, ProfilePhase phase) => families.GetValueOrDefault((name, phase)).Calls;
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Families_add_up_to_the_span_around_them(bool checkpoint)
    {
        IReadOnlyList<OpFamilyCost> families = Step(checkpoint);
        OpSpan whole = _profile.Spans[0];
        Assert.That(whole.Name, Is.EqualTo("whole"));
        Assert.That(families.Select(f => f.Seconds), Is.All.GreaterThanOrEqualTo(0));
        Assert.That(families.Sum(f => f.Seconds), Is.EqualTo((double)whole.Ticks / Stopwatch.Frequency).Within(1e-9));
        Assert.That(families.Sum(f => f.Calls), Is.EqualTo(_profile.Spans.Length));
        Assert.That(_profile.TakeFamilies(), Is.Empty, "each is taken once");
    }

    [Test]
    public void A_composite_costs_what_its_ops_cost()
    {
        using Arena weights = new(_device, "weights", 1 << 16);
        Parameter w = new("w", weights.Create<float>(new Shape(8), new float[8], MemoryCategory.Weights), trainable: true);
        using Tape tape = new(_step) { Profile = _profile };
        using (_step.Enter("step"))
        {
            tape.Backward(tape.Apply(default(TestSum), tape.ApplyComposite(default(TestTriple), w.Value)));
        }

        Dictionary<(string, ProfilePhase), OpFamilyCost> families = _profile.TakeFamilies().ToDictionary(f => (f.Name, f.Phase));
        Assert.That(families.Keys, Is.EquivalentTo(new[]
        {
            ("test_triple", ProfilePhase.Forward), ("test_sum", ProfilePhase.Forward),
            ("test_sum", ProfilePhase.Backward), ("test_triple", ProfilePhase.Backward), ("test_add", ProfilePhase.Backward),
        }));
        OpFamilyCost inner = families[("test_add", ProfilePhase.Backward)];
        Assert.That((inner.Calls, inner.Bytes), Is.EqualTo((2, 2 * 3 * 8 * sizeof(float))));
        Assert.That(families[("test_triple", ProfilePhase.Backward)].Bytes, Is.Zero);
    }

    [Test]
    public void Products_say_what_they_compute()
    {
        using Arena weights = new(_device, "weights", 1 << 16);
        Tensor Make(params int[] axes) => weights.Allocate(new Shape(axes), DType.F32, MemoryCategory.Weights);
        Parameter w = new("w", Make(10, 6), trainable: true), down = new("down", Make(2, 6), trainable: true), up = new("up", Make(10, 2), trainable: true);
        Parameter head = new("head", Make(11, 10));
        Tensor x = Make(3, 4, 6);
        using Tape tape = new(_step) { Profile = _profile };
        using (_step.Enter("step"))
        {
            Tensor u = tape.Linear(x, down.Value);                                                // 2·12·6·2
            Tensor y = tape.LinearWithBranch(x, w.Value, null, u, up.Value, 1);                   // 2·12·(6·10 + 2·10)
            y = tape.ScaledDotProductAttention(y, y, y, 2, 2, new AttentionOptions { Window = 2 }); // 1 + 2 + 2 + 2 pairs, 2 heads of 5, 3 rows
            tape.Backward(tape.Sum(tape.SelectedLogProb(y, head.Value, weights.Create<int>(new Shape(3, 4), new int[12], MemoryCategory.Weights))));
        }

        Dictionary<(string, ProfilePhase), long> flops = _profile.TakeFamilies().ToDictionary(f => (f.Name, f.Phase), f => f.Flops);
        Assert.That(flops[("linear", ProfilePhase.Forward)], Is.EqualTo((2 * 12 * 6 * 2) + (2 * 12 * ((6 * 10) + (2 * 10)))));
        Assert.That(flops[("linear", ProfilePhase.Backward)], Is.EqualTo((2 * 12 * 6 * 2) + (2 * 12 * ((6 * 10) + (2 * 2 * 10)))), "x needs no gradient");
        Assert.That(flops[("scaled_dot_product_attention", ProfilePhase.Forward)], Is.EqualTo(2 * 2 * 7 * 2 * 5 * 3));
        Assert.That(flops[("scaled_dot_product_attention", ProfilePhase.Backward)], Is.EqualTo(2 * 5 * 7 * 2 * 5 * 3));
        Assert.That(flops[("selected_log_prob", ProfilePhase.Forward)], Is.EqualTo(2 * 2 * 12 * 10 * 11), "the head is frozen: its gradient is made at once");
    }

    [Test]
    public void The_trace_is_a_file_of_nested_events()
    {
        _ = Step(checkpoint: true);
        using MemoryStream stream = new();
        ChromeTrace.Write(_profile, stream);
        JsonElement[] events = [.. JsonDocument.Parse(stream.ToArray()).RootElement.GetProperty("traceEvents").EnumerateArray()];
        Assert.That(events, Has.Length.EqualTo(_profile.Spans.Length));
        Assert.That(events.Select(e => e.GetProperty("ph").GetString()), Is.All.EqualTo("X"));
        Assert.That(events.Select(e => e.GetProperty("cat").GetString()).Distinct(), Is.EquivalentTo(new[] { "step", "forward", "recompute", "backward" }));
        Stack<decimal> ends = new();
        decimal last = 0;
        foreach (JsonElement e in events)
        {
            decimal start = e.GetProperty("ts").GetDecimal(), end = start + e.GetProperty("dur").GetDecimal();
            while (ends.TryPeek(out decimal open) && open <= start)
            {
                _ = ends.Pop();
            }

            Assert.That(start, Is.GreaterThanOrEqualTo(last));
            Assert.That(end, Is.LessThanOrEqualTo(ends.TryPeek(out decimal around) ? around : end), $"{e} reaches beyond the span around it");
            ends.Push(end);
            last = start;
        }
    }

    [Test]
    public void Spans_without_room_are_counted_all_the_same()
    {
        IReadOnlyList<OpFamilyCost> all = Step(checkpoint: false);
        _profile = new OpProfile(_device, capacity: 3);
        IReadOnlyList<OpFamilyCost> few = Step(checkpoint: false);
        Assert.That(few.Select(f => (f.Name, f.Phase, f.Calls, f.Bytes)), Is.EquivalentTo(all.Select(f => (f.Name, f.Phase, f.Calls, f.Bytes))));
        Assert.That((_profile.Spans.Length, _profile.SpansLeftOut), Is.EqualTo((3, few.Sum(f => f.Calls) - 3)));
    }

    [Test]
    public void An_op_that_fails_leaves_no_span_open()
    {
        using Tape tape = new(_step) { Profile = _profile };
        using Scope scope = _step.Enter("step");
        Tensor x = _step.Allocate(new Shape(2, 3), DType.F32, MemoryCategory.Activations);
        Assert.That(() => tape.MatMul(x, x), Throws.TypeOf<ShapeException>());
        _ = tape.Silu(x);
        Assert.That(_profile.TakeFamilies().Select(f => (f.Name, f.Phase)), Is.EquivalentTo(new[] { ("mat_mul", ProfilePhase.Forward), ("silu", ProfilePhase.Forward) }));
    }

    private IReadOnlyList<OpFamilyCost> Step(bool checkpoint)
    {
        using SmallNetwork network = new(_device, 30, 8);
        using Tape tape = new(_step) { Profile = _profile };
        using (ProfileSpan whole = ProfileSpan.Open(_profile, "whole"))
        {
            using Scope scope = _step.Enter("step");
            tape.Backward(network.Loss(tape, [.. Enumerable.Range(0, 12)], 2, checkpoint));
        }

        return _profile.TakeFamilies();
    }
}
