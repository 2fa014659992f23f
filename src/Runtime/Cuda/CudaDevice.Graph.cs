using Graft.Runtime.Interop;

namespace Graft.Runtime;

public sealed unsafe partial class CudaDevice
{
    /// <summary>True while <see cref="Capture"/> records.</summary>
    public bool IsCapturing { get; private set; }

    /// <summary>Records what the host asks of the device as a graph instead of running it, so that all of it can be launched again by one call.</summary>
    /// <remarks>
    /// Every replay reads and writes the addresses of the recording: give it inputs by writing into tensors that live outside, take results from such tensors, and let
    /// nothing else use the step's arena between replays. The step must have run before (kernels are loaded, the arena has its size). Values that the host works out
    /// (a learning rate, a dropout stream) are as they were when it was recorded. Reading values and taking memory inside is refused.
    /// </remarks>
    /// <param name="work">Runs the step.</param>
    /// <exception cref="GraftException">The work reads values, takes memory, or needs a kernel that is not loaded.</exception>
    public CudaGraph Capture(Action work)
    {
        ArgumentNullException.ThrowIfNull(work);
        Enter();
        RefuseInCapture("record another graph");
        Ok(CudaDriver.cuStreamBeginCapture_v2(_stream, CUstreamCaptureMode.ThreadLocal));
        IsCapturing = true;
        nint graph = 0;
        try
        {
            work();
            Ok(CudaDriver.cuStreamEndCapture(_stream, &graph));
            IsCapturing = false;
            nuint nodes;
            Ok(CudaDriver.cuGraphGetNodes(graph, null, &nodes));
            nint executable;
            Ok(CudaDriver.cuGraphInstantiateWithFlags(&executable, graph, 0));
            return new CudaGraph(this, executable, (long)nodes);
        }
        finally
        {
            if (IsCapturing)
            {
                IsCapturing = false;
                _ = CudaDriver.cuStreamEndCapture(_stream, &graph); // what was recorded so far is thrown away
            }

            if (graph != 0)
            {
                _ = CudaDriver.cuGraphDestroy(graph);
            }
        }
    }

    /// <summary>Throws while a graph is recorded, for what a graph cannot hold.</summary>
    internal void RefuseInCapture(string what)
    {
        if (IsCapturing)
        {
            throw new GraftException($"{Name} is recording a graph and cannot {what}. Do it before, or keep it out of the recorded step.");
        }
    }
}

/// <summary>A recorded step of a CUDA device; see <see cref="CudaDevice.Capture"/>.</summary>
public sealed class CudaGraph : IDisposable
{
    private readonly CudaDevice _device;
    private nint _executable;

    internal CudaGraph(CudaDevice device, nint executable, long nodes)
    {
        _device = device;
        _executable = executable;
        Nodes = nodes;
    }

    /// <summary>How many kernels, products, copies and fills it holds.</summary>
    public long Nodes { get; }

    /// <summary>Asks the device to run all of it, in order with whatever else it was asked.</summary>
    public void Launch()
    {
        ObjectDisposedException.ThrowIf(_executable == 0, this);
        _device.Enter();
        _device.Ok(CudaDriver.cuGraphLaunch(_executable, _device.Stream));
    }

    /// <summary>Forgets the recording; a launch that is under way is finished first.</summary>
    public void Dispose()
    {
        if (_executable != 0)
        {
            _ = CudaDriver.cuGraphExecDestroy(_executable);
            _executable = 0;
        }
    }
}
