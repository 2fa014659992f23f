using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>The recorded adapters on CUDA, within the tolerances of the CPU.</summary>
[Category("CudaEmulator")]
[TestFixtureSource(nameof(Cases))]
public sealed class AdapterCudaTests(string name) : AdapterSuite(name)
{
    protected override Device OpenDevice() => CudaTestDevice.Open();
}
