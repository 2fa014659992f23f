using Graft.Runtime.Interop;

namespace Graft.Runtime.Tests.Cuda;

/// <summary>The device itself: what it says of itself, copies, memory, faults, graphs, two cards.</summary>
[Category("CudaEmulator")]
public class CudaDeviceTests
{
    private const int HalfOfStaging = 4 << 20;

    private const string Kernels = """
        #include "common.cuh"
        GRAFT_KERNEL test_scale(float* x, float factor, i64 count)
        {
            i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
            if (i < count)
            {
                x[i] *= factor;
            }
        }

        GRAFT_KERNEL test_write_beyond(float* x, i64 count)
        {
            x[count + threadIdx.x] = 1.0f;
        }

        GRAFT_KERNEL test_raise(int* flag, int code)
        {
            atomicMax(flag, code);
        }

        GRAFT_KERNEL test_shared(float* y, int count)
        {
            extern __shared__ float values[];
            for (int i = threadIdx.x; i < count; i += blockDim.x)
            {
                values[i] = (float)i;
            }

            __syncthreads();
            if (threadIdx.x == 0)
            {
                y[0] = values[count - 1];
            }
        }
        """;

    private static readonly Kernel s_scale = new("device_tests", "test_scale");
    private static readonly Kernel s_writeBeyond = new("device_tests", "test_write_beyond");
    private static readonly Kernel s_raise = new("device_tests", "test_raise");
    private static readonly Kernel s_shared = new("device_tests", "test_shared");

    [Test]
    public void Says_what_it_is_and_never_calls_the_emulator_a_card()
    {
        using CudaDevice device = CudaTestDevice.Open();
        Assert.That(device.Card.IsEmulator, Is.EqualTo(!CudaTestDevice.IsGpu), device.Card.Name);
        Assert.That(device.Card.Major, Is.GreaterThanOrEqualTo(8));
        Assert.That(device.Card.MemoryBytes, Is.GreaterThan(1L << 30));
        Assert.That(device.Name, Is.EqualTo($"cuda:0 ({device.Card.Name})"));
        Assert.That(device.Name.Contains("no GPU", StringComparison.Ordinal), Is.EqualTo(device.Card.IsEmulator));
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(HalfOfStaging - 1)]
    [TestCase(HalfOfStaging)]
    [TestCase(HalfOfStaging + 1)]
    [TestCase((3 * HalfOfStaging) + 17)]
    public void Bytes_go_there_and_come_back(int count)
    {
        using CudaDevice device = CudaTestDevice.Open();
        using Arena arena = new(device, "copies");
        byte[] bytes = new byte[count];
        new Random(7).NextBytes(bytes);
        Tensor x = arena.Allocate(new Shape(count), DType.U8, MemoryCategory.Workspace);
        x.CopyFrom<byte>(bytes);
        Tensor y = arena.Allocate(new Shape(count), DType.U8, MemoryCategory.Workspace);
        y.CopyFrom(x);
        Assert.That(y.ToArray<byte>(), Is.EqualTo(bytes));
    }

    [Test]
    public void Tensors_move_between_devices_and_within_one()
    {
        using CudaDevice device = CudaTestDevice.Open();
        using CpuDevice cpu = new(1);
        using Arena there = new(device, "there"), here = new(cpu, "here");
        Tensor a = here.Create<float>(new Shape(5), [1, 2, 3, 4, 5], MemoryCategory.Workspace);
        Tensor b = there.Allocate(new Shape(5), DType.F32, MemoryCategory.Workspace);
        b.CopyFrom(a);
        b.CopyFrom(b, sourceStart: 0, start: 3, count: 2);
        Tensor c = here.Allocate(new Shape(5), DType.F32, MemoryCategory.Workspace);
        c.CopyFrom(b);
        Assert.That(c.ToArray<float>(), Is.EqualTo(new float[] { 1, 2, 3, 1, 2 }));
        b.Write<float>([9], 1);
        float[] two = new float[2];
        b.CopyTo(two.AsSpan(), 1);
        Assert.That(two, Is.EqualTo(new float[] { 9, 3 }));
        b.Clear();
        Assert.That(b.ToArray<float>(), Is.All.Zero);
        Assert.That(() => b.AsSpan<float>()[0], Throws.TypeOf<GraftException>().With.Message.Contains("ToArray"));
    }

    [Test]
    public void Running_out_of_memory_names_op_and_arenas_and_the_device_goes_on()
    {
        using CudaDevice device = CudaTestDevice.Open();
        using Arena arena = new(device, "step");
        Tape tape = Tape.None(arena);
        using (Scope scope = arena.Enter("step"))
        {
            int side = (int)Math.Sqrt(device.Card.MemoryBytes / 4.0) + 1;
            Tensor column = arena.Zeros(new Shape(side, 1), DType.F32, MemoryCategory.Activations);
            Tensor row = arena.Zeros(new Shape(1, side), DType.F32, MemoryCategory.Activations);
            OutOfDeviceMemoryException error = Assert.Throws<OutOfDeviceMemoryException>(() => tape.Add(column, row))!;
            Assert.That(error.Message, Does.StartWith("add: cuda:0").And.Contains("step:").And.Contains("are free"));
            Assert.That(tape.Add(row, row).ToArray<float>(), Is.All.Zero);
        }

        Assert.That(arena.Report().Current.Total, Is.Zero);
    }

    [Test]
    public void An_index_out_of_bounds_is_a_typed_error_at_the_next_read_and_the_device_goes_on()
    {
        using CudaDevice device = CudaTestDevice.Open();
        using Arena arena = new(device, "step");
        Tape tape = Tape.None(arena);
        Tensor table = arena.Create<float>(new Shape(3, 2), [1, 2, 3, 4, 5, 6], MemoryCategory.Weights);
        Tensor wrong = tape.Embedding(table, arena.Create<int>(new Shape(2), [1, 3], MemoryCategory.Activations));
        Assert.That(() => wrong.ToArray<float>(), Throws.TypeOf<IndexException>().With.Message.Contains("embedding"));
        Tensor right = tape.Embedding(table, arena.Create<int>(new Shape(2), [1, 2], MemoryCategory.Activations));
        Assert.That(right.ToArray<float>(), Is.EqualTo(new float[] { 3, 4, 5, 6 }));
    }

    [Test]
    public void Kernels_raise_the_flag_once()
    {
        using CudaDevice device = WithKernels();
        device.Launch(s_raise, new LaunchShape(1, 32), device.ErrorFlag, (int)DeviceFault.RotaryPosition);
        Assert.That(device.Synchronize, Throws.TypeOf<GraftException>().With.Message.Contains("rotary_embedding"));
        Assert.That(device.Synchronize, Throws.Nothing);
    }

    [Test]
    public void A_graph_replays_what_was_recorded()
    {
        using CudaDevice device = WithKernels();
        using Arena arena = new(device, "graph");
        Tensor x = arena.Create<float>(new Shape(100), Enumerable.Repeat(1f, 100).ToArray(), MemoryCategory.Workspace);
        Tensor y = arena.Zeros(new Shape(100), DType.F32, MemoryCategory.Workspace);
        void Step()
        {
            device.Launch(s_scale, LaunchShape.Over(100), x, 2f, 100L);
            y.CopyFrom(x);
        }

        Step();
        using CudaGraph graph = device.Capture(Step);
        Assert.That(x.ToArray<float>(), Is.All.EqualTo(2f), "recording does not run");
        Assert.That(graph.Nodes, Is.EqualTo(2));
        graph.Launch();
        graph.Launch();
        Assert.That(y.ToArray<float>(), Is.All.EqualTo(8f));
        x.CopyFrom<float>(Enumerable.Repeat(3f, 100).ToArray());
        graph.Launch();
        Assert.That(y.ToArray<float>(), Is.All.EqualTo(6f));
    }

    [Test]
    public void What_a_graph_cannot_hold_is_refused_and_ends_the_recording()
    {
        using CudaDevice device = WithKernels();
        using Arena arena = new(device, "graph");
        Tensor x = arena.Zeros(new Shape(4), DType.F32, MemoryCategory.Workspace);
        Assert.That(() => device.Capture(() => _ = x.ToArray<float>()), Throws.TypeOf<GraftException>().With.Message.Contains("read values"));
        Assert.That(() => device.Capture(() => x.CopyFrom<float>([1, 2, 3, 4])), Throws.TypeOf<GraftException>().With.Message.Contains("write values"));
        Assert.That(() => device.Capture(() => arena.Allocate(new Shape(1 << 26), DType.F32, MemoryCategory.Workspace)), Throws.TypeOf<GraftException>());
        Assert.That(
            () => device.Capture(() => device.Launch(new Kernel("device_tests", "test_scale"), LaunchShape.Over(4), x, 2f, 4L)),
            Throws.TypeOf<GraftException>().With.Message.Contains("run the step once"));
        Assert.That(device.IsCapturing, Is.False);
        x.CopyFrom<float>([1, 2, 3, 4]);
        Assert.That(x.ToArray<float>(), Is.EqualTo(new float[] { 1, 2, 3, 4 }));
    }

    [Test]
    public void Shared_memory_beyond_48_KiB_is_asked_for()
    {
        using CudaDevice device = WithKernels();
        using Arena arena = new(device, "shared");
        Tensor y = arena.Zeros(new Shape(1), DType.F32, MemoryCategory.Workspace);
        int count = (100 << 10) / sizeof(float);
        device.Launch(s_shared, new LaunchShape(1, 256) { SharedBytes = 100 << 10 }, y, count);
        Assert.That(y.ToArray<float>(), Is.EqualTo(new float[] { count - 1 }));
    }

    [Test]
    public void Nothing_is_compiled_after_everything_was_prepared()
    {
        using CudaDevice device = CudaTestDevice.Open();
        device.Prepare();
        Assert.That(device.LoadedFamilies, Is.EquivalentTo(KernelSource.Families));
        int compiled = KernelCompiler.Default.Compiled;
        using Arena arena = new(device, "prepared");
        Tape tape = Tape.None(arena);
        Tensor x = arena.Create<float>(new Shape(2, 3), [1, 2, 3, 4, 5, 6], MemoryCategory.Workspace);
        Assert.That(tape.Softmax(tape.Silu(tape.Add(x, x))).ToArray<float>().Sum(), Is.EqualTo(2).Within(1e-6));
        Assert.That(KernelCompiler.Default.Compiled, Is.EqualTo(compiled));
        Assert.That(() => device.Prepare(["no_such_family"]), Throws.TypeOf<GraftException>().With.Message.Contains("no_such_family"));
    }

    [Test]
    public void Events_measure_and_wait()
    {
        using CudaDevice device = WithKernels();
        using Arena arena = new(device, "events");
        Tensor x = arena.Zeros(new Shape(1000), DType.F32, MemoryCategory.Workspace);
        using CudaEvent start = new(device), end = new(device);
        start.Record();
        device.Launch(s_scale, LaunchShape.Over(1000), x, 2f, 1000L);
        end.Record();
        end.Wait();
        Assert.That(end.MillisecondsSince(start), Is.GreaterThanOrEqualTo(0));
    }

    [Test]
    public void Two_devices_of_one_process_do_not_disturb_each_other()
    {
        CudaTestDevice.Require();
        using CudaDevice first = new(0);
        CudaDevice second;
        try
        {
            second = new CudaDevice(1);
        }
        catch (CudaUnavailableException e)
        {
            Assert.Ignore($"one card only: {e.Message}");
            return;
        }

        using (second)
        using (Arena a = new(first, "first"))
        using (Arena b = new(second, "second"))
        {
            Tensor x = a.Create<float>(new Shape(3), [1, 2, 3], MemoryCategory.Workspace);
            Tensor y = b.Create<float>(new Shape(3), [10, 20, 30], MemoryCategory.Workspace);
            Tensor sumX = Tape.None(a).Add(x, x), sumY = Tape.None(b).Add(y, y);
            Assert.That(sumX.ToArray<float>(), Is.EqualTo(new float[] { 2, 4, 6 }));
            Assert.That(sumY.ToArray<float>(), Is.EqualTo(new float[] { 20, 40, 60 }));
            sumX.CopyFrom(sumY);
            Assert.That(sumX.ToArray<float>(), Is.EqualTo(new float[] { 20, 40, 60 }), "from card to card");
            Assert.That(() => Tape.None(a).Add(x, y), Throws.TypeOf<GraftException>().With.Message.Contains("cuda:1"));
        }
    }

    [Test]
    public void A_card_that_is_not_there_is_a_typed_error()
    {
        CudaTestDevice.Require();
        Assert.That(() => new CudaDevice(99), Throws.TypeOf<CudaUnavailableException>().With.Message.Contains("cuda:99"));
    }

    [Test]
    public void An_illegal_address_is_sticky_names_its_cause_and_leaves_the_process_alive()
    {
        if (CudaTestDevice.IsGpu)
        {
            Assert.Ignore("a fault ends a card's context for the whole process; the emulator forgets it");
        }

        CudaDevice device = WithKernels(guardBlocks: true);
        Arena arena = new(device, "faulty");
        try
        {
            Tensor x = arena.Zeros(new Shape(8), DType.F32, MemoryCategory.Workspace);
            CudaException first = Assert.Catch<CudaException>(() =>
            {
                device.Launch(s_writeBeyond, new LaunchShape(1, 32), x, 1L << 20);
                device.Synchronize();
            })!;
            Assert.That(first.Code, Is.EqualTo((int)CUresult.IllegalAddress));
            Assert.That(first.IsSticky, Is.True);
            CudaException second = Assert.Throws<CudaException>(() => x.ToArray<float>())!;
            Assert.That(second.Message, Does.Contain("cannot be used any more").And.Contains(first.Message));
            Assert.That(arena.Dispose, Throws.Nothing);
        }
        finally
        {
            Assert.That(device.Dispose, Throws.Nothing);
            EmulatedDriver.Reset();
        }

        using CudaDevice fresh = WithKernels();
        using Arena after = new(fresh, "after");
        Assert.That(after.Create<float>(new Shape(1), [5], MemoryCategory.Workspace).ReadScalar(), Is.EqualTo(5));
    }

    [Test]
    public void Waiting_for_each_launch_names_the_kernel_that_fails()
    {
        if (CudaTestDevice.IsGpu)
        {
            Assert.Ignore("a fault ends a card's context for the whole process; the emulator forgets it");
        }

        using (CudaDevice device = WithKernels(guardBlocks: true))
        using (Arena arena = new(device, "faulty"))
        {
            device.IsSynchronous = true;
            Tensor x = arena.Zeros(new Shape(8), DType.F32, MemoryCategory.Workspace);
            CudaException error = Assert.Catch<CudaException>(() => device.Launch(s_writeBeyond, new LaunchShape(1, 32), x, 1L << 20))!;
            Assert.That(error.Message, Does.Contain("test_write_beyond"));
        }

        EmulatedDriver.Reset();
    }

    private static CudaDevice WithKernels(bool guardBlocks = false)
    {
        CudaDevice device = CudaTestDevice.Open(guardBlocks: guardBlocks);
        device.AddKernels("device_tests", Kernels);
        return device;
    }
}
