using Graft.Runtime.Interop;

namespace Graft.Runtime;

/// <summary>cuBLASLt on one device: a handle, its workspace, and a plan per kind of product.</summary>
/// <remarks>
/// The first guess of the library's heuristic is taken, once per kind and kept, so the same run gives the same bits. With GRAFT_TUNE_GEMM=1 the first few guesses are
/// timed where a kind first comes up (results then differ between runs by rounding). Split sums are added in F32, never in the type of the result.
/// </remarks>
internal sealed unsafe class Blas : IDisposable
{
    /// <summary>Bytes of the library's own workspace: what its documentation recommends for Hopper, and enough for split sums on older cards.</summary>
    public const int WorkspaceBytes = 32 << 20;

    private const int MostPlans = 4096; // lengths that never repeat must not grow without end
    private const int Guesses = 6;
    private const int TimedRuns = 3;

    private readonly CudaDevice _device;
    private readonly Dictionary<BlasKey, BlasPlan?> _plans = [];
    private readonly nint _workspace;
    private nint _handle;

    public Blas(CudaDevice device, nint workspace)
    {
        _device = device;
        _workspace = workspace;
        nint handle;
        Ok(CuBlasLt.cublasLtCreate(&handle));
        _handle = handle;
    }

    /// <summary>Time the first guesses of the heuristic.</summary>
    public bool Tune { get; set; } = Environment.GetEnvironmentVariable("GRAFT_TUNE_GEMM") == "1";

    /// <summary>Add biases in the product's epilogue; off, the result starts with them.</summary>
    public bool FusesBias { get; set; } = true;

    /// <summary>Kinds of products met so far.</summary>
    public int Plans => _plans.Count;

    /// <summary>The plan of c = op(a)·op(b), with a bias or not; null where the library has no algorithm.</summary>
    public BlasPlan? Plan(in CudaMatrix a, in CudaMatrix b, in CudaMatrix c, bool bias, int batch)
    {
        BlasKey key = BlasKey.Of(a, b, c, bias, batch, _device.AllowTf32);
        if (_plans.TryGetValue(key, out BlasPlan? known))
        {
            return known;
        }

        if (bias && !FusesBias)
        {
            return null;
        }

        if (_plans.Count >= MostPlans)
        {
            Clear();
        }

        _device.Enter();
        BlasPlan? plan = new(key);
        if (!Choose(plan))
        {
            plan.Dispose();
            plan = null;
        }

        return _plans[key] = plan;
    }

    /// <summary>c = alpha·op(a)·op(b) + beta·c + bias.</summary>
    public void Run(BlasPlan plan, nint a, nint b, nint c, float alpha, float beta, nint bias)
    {
        _device.Enter();
        if (plan.Key.Bias)
        {
            plan.Bias = bias;
        }

        // Timing overwrites c again and again, which only a product that overwrites it anyway may do.
        if (plan.Candidates.Length > 1 && beta == 0 && !_device.IsCapturing)
        {
            Measure(plan, a, b, c, alpha);
        }

        Launch(plan, a, b, c, alpha, beta);
        _device.AfterProduct(plan.Key);
    }

    public void Dispose()
    {
        Clear();
        if (_handle != 0)
        {
            _ = CuBlasLt.cublasLtDestroy(_handle);
            _handle = 0;
        }
    }

    private void Clear()
    {
        foreach (BlasPlan? plan in _plans.Values)
        {
            plan?.Dispose();
        }

        _plans.Clear();
    }

    private void Launch(BlasPlan plan, nint a, nint b, nint c, float alpha, float beta)
    {
        fixed (cublasLtMatmulAlgo_t* algorithm = &plan.Algorithm)
        {
            cublasStatus_t status = CuBlasLt.cublasLtMatmul(
                _handle, plan.Description, &alpha, b, plan.LayoutB, a, plan.LayoutA, &beta, c, plan.LayoutC, c, plan.LayoutC,
                algorithm, _workspace, WorkspaceBytes, _device.Stream);
            if (status != cublasStatus_t.Success)
            {
                throw Check.ToException(status, $"cublasLtMatmul({plan.Key})", _device.Name);
            }
        }
    }

    private bool Choose(BlasPlan plan)
    {
        cublasLtMatmulHeuristicResult_t* results = stackalloc cublasLtMatmulHeuristicResult_t[Guesses];
        int found = 0;
        nint preference;
        Ok(CuBlasLt.cublasLtMatmulPreferenceCreate(&preference));
        try
        {
            nuint bytes = WorkspaceBytes;
            Ok(CuBlasLt.cublasLtMatmulPreferenceSetAttribute(preference, cublasLtMatmulPreferenceAttributes_t.MaxWorkspaceBytes, &bytes, (nuint)sizeof(nuint)));
            Set(preference, cublasLtMatmulPreferenceAttributes_t.ReductionSchemeMask, (uint)cublasLtReductionScheme_t.ComputeType);
            Set(preference, cublasLtMatmulPreferenceAttributes_t.MinAlignmentABytes, plan.Key.AlignmentOf(1)); // operands change places
            Set(preference, cublasLtMatmulPreferenceAttributes_t.MinAlignmentBBytes, plan.Key.AlignmentOf(0));
            Set(preference, cublasLtMatmulPreferenceAttributes_t.MinAlignmentCBytes, plan.Key.AlignmentOf(2));
            Set(preference, cublasLtMatmulPreferenceAttributes_t.MinAlignmentDBytes, plan.Key.AlignmentOf(2));
            cublasStatus_t status = CuBlasLt.cublasLtMatmulAlgoGetHeuristic(
                _handle, plan.Description, plan.LayoutB, plan.LayoutA, plan.LayoutC, plan.LayoutC, preference, Tune ? Guesses : 1, results, &found);
            if (status == cublasStatus_t.NotSupported || (status == cublasStatus_t.Success && found == 0))
            {
                return false;
            }

            Ok(status);
        }
        finally
        {
            _ = CuBlasLt.cublasLtMatmulPreferenceDestroy(preference);
        }

        plan.Algorithm = results[0].Algo;
        if (Tune)
        {
            plan.Candidates = new cublasLtMatmulAlgo_t[found];
            for (int i = 0; i < found; i++)
            {
                plan.Candidates[i] = results[i].Algo;
            }
        }

        return true;
    }

    private void Measure(BlasPlan plan, nint a, nint b, nint c, float alpha)
    {
        using CudaEvent start = new(_device), end = new(_device);
        double best = double.PositiveInfinity;
        cublasLtMatmulAlgo_t chosen = plan.Algorithm;
        foreach (cublasLtMatmulAlgo_t candidate in plan.Candidates)
        {
            plan.Algorithm = candidate;
            Launch(plan, a, b, c, alpha, 0); // loads the kernel
            start.Record();
            for (int i = 0; i < TimedRuns; i++)
            {
                Launch(plan, a, b, c, alpha, 0);
            }

            end.Record();
            end.Wait();
            double time = end.MillisecondsSince(start);
            if (time < best)
            {
                (best, chosen) = (time, candidate);
            }
        }

        plan.Algorithm = chosen;
        plan.Candidates = [];
    }

    private static void Set(nint preference, cublasLtMatmulPreferenceAttributes_t attribute, uint value) =>
        Ok(CuBlasLt.cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(uint)));

    private static void Ok(cublasStatus_t status, [System.Runtime.CompilerServices.CallerArgumentExpression(nameof(status))] string call = "") => Check.Ok(status, call);
}
