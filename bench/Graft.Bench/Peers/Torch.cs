using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;

namespace Graft.Bench.Peers;

/// <summary>The peer: libtorch through TorchSharp. Its absence is a state with a reason.</summary>
internal static class Torch
{
    /// <summary>True where it can be measured.</summary>
    public static bool IsAvailable { get; private set; }

    /// <summary>Why it cannot.</summary>
    public static string? Reason { get; private set; } = "not asked for";

    /// <summary>Name and version, for reports.</summary>
    public static string Version => "libtorch 2.10.0 (TorchSharp 0.107.0)";

    /// <summary>How many threads it uses in an op.</summary>
    public static int Threads { get; private set; }

    /// <summary>Loads it and sets as many threads as there are processors.</summary>
    /// <param name="leaveOut">True where it is not wanted.</param>
    [SuppressMessage("Design", "CA1031", Justification = "A native library can fail to load in many ways, and none of them may end the benchmark.")]
    public static void Prepare(bool leaveOut)
    {
        if (leaveOut)
        {
            return;
        }

        try
        {
            Preload();
            Threads = Start();
            IsAvailable = true;
            Reason = null;
        }
        catch (Exception e)
        {
            Exception inner = e;
            while (inner is TypeInitializationException or { InnerException: not null } && inner.InnerException is not null)
            {
                inner = inner.InnerException;
            }

            string? loader = inner.Message.Split('\n').LastOrDefault(l => l.Contains(".so", StringComparison.Ordinal));
            string text = loader ?? inner.Message.ReplaceLineEndings(" ");
            Reason = $"libtorch does not load: {text.Trim()} (on Debian 12 run bench/patch-torchsharp.sh first)";
        }
    }

    /// <summary>A new tensor with the elements given.</summary>
    public static torch.Tensor Create(ReadOnlySpan<float> values, params long[] shape)
    {
        torch.Tensor tensor = torch.empty(shape, torch.ScalarType.Float32);
        values.CopyTo(MemoryMarshal.Cast<byte, float>(tensor.bytes));
        return tensor;
    }

    /// <summary>A new tensor of whole numbers; token ids are 64 bits wide here.</summary>
    public static torch.Tensor Create(ReadOnlySpan<int> values, params long[] shape)
    {
        torch.Tensor tensor = torch.empty(shape, torch.ScalarType.Int64);
        Span<long> target = MemoryMarshal.Cast<byte, long>(tensor.bytes);
        for (int i = 0; i < values.Length; i++)
        {
            target[i] = values[i];
        }

        return tensor;
    }

    // TorchSharp, where its library does not load, copies half a gigabyte of packages together, tries again, and hides the loader's words in a long report.
    private static void Preload()
    {
        if (OperatingSystem.IsLinux())
        {
            _ = NativeLibrary.Load(Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native", "libLibTorchSharp.so"));
        }
    }

    // Kept apart: the types of the peer are touched nowhere before its library is known to load.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Start()
    {
        torch.InitializeDeviceType(DeviceType.CPU);
        torch.set_num_threads(Environment.ProcessorCount);
        using torch.Tensor one = torch.ones(1);
        return torch.get_num_threads();
    }
}
