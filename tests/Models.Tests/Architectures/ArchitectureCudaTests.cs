using Graft.Runtime;

namespace Graft.Models.Tests.Architectures;

/// <summary>The recorded architectures on CUDA, within the tolerances of the CPU.</summary>
[Category("CudaEmulator")]
[TestFixtureSource(nameof(Cases))]
public sealed class ArchitectureCudaTests(string name) : ArchitectureSuite(name)
{
    protected override Device Open() => CudaTestDevice.Open();
}
