using Graft.Runtime.Interop;

namespace Graft.Runtime;

public sealed unsafe partial class CudaDevice
{
    private Blas? _blas;
    private nint _blasWorkspace;

    /// <summary>Matrix products; the library and its workspace (<see cref="Graft.Runtime.Blas.WorkspaceBytes"/>, of no arena) come with the first.</summary>
    internal Blas Blas => _blas ?? OpenBlas();

    /// <summary>With GRAFT_SYNC=1, waits for a product, so that a fault names it.</summary>
    internal void AfterProduct(in BlasKey key)
    {
        if (IsSynchronous && !IsCapturing)
        {
            Ok(CudaDriver.cuStreamSynchronize(_stream), $"cublasLtMatmul({key}) (GRAFT_SYNC=1)");
        }
    }

    private Blas OpenBlas()
    {
        Enter();
        RefuseInCapture("load cuBLASLt: run the step once before it is recorded");
        if (_blasWorkspace == 0)
        {
            _blasWorkspace = AllocateSlab(Blas.WorkspaceBytes);
        }

        return _blas = new Blas(this, _blasWorkspace);
    }

    partial void DisposeBlas()
    {
        _blas?.Dispose();
        _blas = null;
        if (_blasWorkspace != 0)
        {
            _ = CudaDriver.cuMemFree_v2(_blasWorkspace);
            _blasWorkspace = 0;
        }
    }
}
