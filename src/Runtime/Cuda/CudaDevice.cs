using System.Runtime.InteropServices;
using Graft.Runtime.Interop;

namespace Graft.Runtime;

/// <summary>A CUDA card: device memory, kernels compiled by NVRTC for its architecture, products by cuBLASLt. One stream, on which everything is in order.</summary>
/// <remarks>
/// Not thread-safe: a device belongs to the thread that runs the step; several devices, in one thread or many, are independent. With GRAFT_SYNC=1 each launch is
/// waited for, so that a fault names its kernel. With GRAFT_GUARD=1 each tensor is an allocation of its own, for compute-sanitizer and the emulator.
/// </remarks>
public sealed unsafe partial class CudaDevice : Device
{
    private static readonly bool s_synchronous = Environment.GetEnvironmentVariable("GRAFT_SYNC") == "1";
    private static readonly bool s_guards = Environment.GetEnvironmentVariable("GRAFT_GUARD") == "1";

    private readonly CudaContext _context;
    private readonly KernelLibrary _kernels;
    private readonly Staging _staging;
    private readonly nint _stream;
    private readonly nint _errorFlag;
    private CudaException? _fault;
    private bool _disposed;

    /// <summary>The card with the given number.</summary>
    /// <param name="ordinal">From 0, in the driver's order (CUDA_VISIBLE_DEVICES).</param>
    /// <param name="guardBlocks">Debugging: each tensor is an allocation of its own, so that compute-sanitizer and the emulator see its bounds. Slow.</param>
    /// <exception cref="CudaUnavailableException">No driver, one that is too old, no such card, or no NVRTC: says what was looked for and what to install.</exception>
    public CudaDevice(int ordinal = 0, bool guardBlocks = false)
        : base(DeviceKind.Cuda, $"cuda:{ordinal}")
    {
        Ordinal = ordinal;
        GuardsBlocks = guardBlocks || s_guards;
        _context = CudaContext.Open(ordinal);
        try
        {
            Check.Ok(_context.MakeCurrent());
            Card = _context.Describe();
            Name = $"cuda:{ordinal} ({Card.Name})"; // the emulated driver's name says what it is wherever a device is named
            nint stream;
            Check.Ok(CudaDriver.cuStreamCreate(&stream, CUstream_flags.NonBlocking));
            _stream = stream;
            _kernels = new KernelLibrary(Card.Architecture);
            _staging = new Staging(_stream);
            nint flag;
            Check.Ok(CudaDriver.cuMemAlloc_v2(&flag, sizeof(int)));
            _errorFlag = flag;
            Check.Ok(CudaDriver.cuMemsetD32Async(flag, 0, 1, _stream));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The card's number, from 0.</summary>
    public int Ordinal { get; }

    /// <summary>The card's name, architecture and size.</summary>
    public CudaCard Card { get; } = null!;

    /// <summary>Products of F32 matrices may round their factors to TF32 (10 bits of mantissa), which tensor cores multiply. Off by default: results are F32's.</summary>
    public bool AllowTf32 { get; init; }

    /// <summary>Wait for each launch, so that a fault names its kernel: GRAFT_SYNC=1 by default.</summary>
    internal bool IsSynchronous { get; set; } = s_synchronous;

    /// <summary>How many kernels were launched, products of cuBLASLt not counted.</summary>
    public long Launches { get; private set; }

    /// <summary>The stream that everything runs on, in order.</summary>
    internal nint Stream => _stream;

    /// <summary>An int on the device that kernels raise where their data is wrong (<see cref="DeviceFault"/>); looked at whenever the host waits.</summary>
    internal nint ErrorFlag => _errorFlag;

    internal override bool GuardsBlocks { get; }

    /// <inheritdoc/>
    public override bool IsLost => _fault is not null;

    /// <summary>Free and total bytes of the card's memory, all processes counted.</summary>
    public (long Free, long Total) ReadMemory()
    {
        Enter();
        nuint free, total;
        Ok(CudaDriver.cuMemGetInfo_v2(&free, &total));
        return ((long)free, (long)total);
    }

    /// <inheritdoc/>
    /// <exception cref="CudaException">Something failed since the last time; the device cannot be used any more, but can be disposed of.</exception>
    /// <exception cref="IndexException">A kernel met an index outside its bounds.</exception>
    public override void Synchronize()
    {
        int flag = 0;
        Download(_errorFlag, MemoryMarshal.AsBytes(new Span<int>(ref flag)), checkFlag: false);
        if (flag != 0)
        {
            Ok(CudaDriver.cuMemsetD32Async(_errorFlag, 0, 1, _stream));
            throw DeviceFaults.ToException(flag, Name);
        }
    }

    /// <summary>Makes the context current on this thread and refuses to go on after a fault or while disposed.</summary>
    internal void Enter()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_fault is not null)
        {
            throw new CudaException(_fault, $"{Name} failed before and cannot be used any more; dispose of it. The first error: {_fault.Message}");
        }

        Ok(_context.MakeCurrent());
    }

    /// <summary>Raises what a call of the driver answered; an error that poisons the context is kept and raised again by every later use.</summary>
    internal void Ok(CUresult result, [System.Runtime.CompilerServices.CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result == CUresult.Success)
        {
            return;
        }

        CudaException error = Check.ToException(result, call, Name);
        if (error.IsSticky)
        {
            _fault ??= error;
        }

        throw error;
    }

    internal override nint AllocateSlab(long bytes)
    {
        Enter();
        RefuseInCapture("take memory");
        nint address;
        CUresult result = CudaDriver.cuMemAlloc_v2(&address, (nuint)bytes);
        if (result == CUresult.OutOfMemory)
        {
            string held = string.Join("; ", Arenas.Select(a => $"{a.Name}: {a.Report().Current}"));
            (long free, long total) = ReadMemory();
            throw new OutOfDeviceMemoryException(
                $"{Name}: {bytes} bytes could not be had; {free} of {total} are free. Arenas hold: {held}. " +
                "Use a smaller batch, activation checkpointing or BF16 weights; `graft plan` says beforehand what a run needs.");
        }

        Ok(result);
        return address;
    }

    internal override void FreeSlab(nint address, long bytes)
    {
        // Arenas are disposed of after a fault too: then the memory goes with the context.
        if (!_disposed && _fault is null)
        {
            _ = _context.MakeCurrent();
            _ = CudaDriver.cuStreamSynchronize(_stream);
            _ = CudaDriver.cuMemFree_v2(address);
        }
    }

    internal override void Upload(ReadOnlySpan<byte> from, nint to)
    {
        Enter();
        RefuseInCapture("write values");
        _staging.Upload(this, from, to);
    }

    internal override void Download(nint from, Span<byte> to) => Download(from, to, checkFlag: true);

    internal override void Copy(nint from, nint to, long bytes)
    {
        Enter();
        Ok(CudaDriver.cuMemcpyDtoDAsync_v2(to, from, (nuint)bytes, _stream));
    }

    internal override void Fill(nint at, byte value, long bytes)
    {
        Enter();
        Ok(CudaDriver.cuMemsetD8Async(at, value, (nuint)bytes, _stream));
    }

    internal override void AddInto(Tensor target, Tensor source) => ElementwiseCuda.AddInto(this, target, source);

    internal override void CastInto(Tensor target, Tensor source) => ElementwiseCuda.CastInto(this, target, source);

    internal override void FillWith(Tensor target, float value) => ElementwiseCuda.Fill(this, target, value);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        if (_context is not null)
        {
            _ = _context.MakeCurrent();
            _ = CudaDriver.cuStreamSynchronize(_stream);
            DisposeBlas();
            _staging?.Dispose();
            _kernels?.Dispose();
            if (_errorFlag != 0)
            {
                _ = CudaDriver.cuMemFree_v2(_errorFlag);
            }

            if (_stream != 0)
            {
                _ = CudaDriver.cuStreamDestroy_v2(_stream);
            }

            _context.Dispose();
        }

        base.Dispose(disposing);
    }

    /// <summary>Gives the product library's handle back, if there is one.</summary>
    partial void DisposeBlas();

    private void Download(nint from, Span<byte> to, bool checkFlag)
    {
        Enter();
        RefuseInCapture("read values");
        _staging.Download(this, from, to);
        if (checkFlag)
        {
            Synchronize();
        }
    }
}
