using Graft.Runtime;

namespace Graft.Models.Tests.Generation;

/// <summary>Recorded generations on CUDA.</summary>
[Category("CudaEmulator")]
public sealed class GenerationCudaTests : GenerationSuite
{
    protected override Device Open() => CudaTestDevice.Open();
}
