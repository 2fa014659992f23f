using System.Globalization;
using System.Runtime.Intrinsics.X86;
using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Cpu;

/// <summary>The entry point of this assembly when it is run as a program: all <see cref="SimdChecks"/> with the instruction set that the environment left.</summary>
internal static class SimdProbe
{
    /// <summary>Arguments: `--simd` and the number of floats per vector that the kernels must have found. 0 if all is well.</summary>
    public static int Main(string[] arguments)
    {
        if (arguments is not ["--simd", string expected])
        {
            Console.Error.WriteLine("usage: --simd WIDTH");
            return 2;
        }

        Console.WriteLine($"width {CpuKernel.Width} avx512 {Avx512F.IsSupported} avx2 {Avx2.IsSupported} fma {Fma.IsSupported}");
        if (CpuKernel.Width != int.Parse(expected, CultureInfo.InvariantCulture))
        {
            Console.WriteLine($"FAILED: the switch had no effect, {expected} floats per vector were expected");
            return 1;
        }

        VectorMathTests.Stride = CpuKernel.Width == 1 ? 1_000_003 : 100_003;
        int failures = 0;
        foreach ((string name, Action run) in SimdChecks.All)
        {
            long start = Environment.TickCount64;
            try
            {
                run();
                Console.WriteLine($"passed {name} ({Environment.TickCount64 - start} ms)");
            }
#pragma warning disable CA1031 // every failure of a check is reported, whatever its type
            catch (Exception e)
#pragma warning restore CA1031
            {
                failures++;
                Console.WriteLine($"FAILED {name}: {e}");
            }
        }

        return failures == 0 ? 0 : 1;
    }
}
