using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace Graft.Runtime.Interop;

/// <summary>Turns what a native call answers into an exception that has the call's text.</summary>
internal static unsafe partial class Check
{
    public static void Ok(CUresult result, [CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result != CUresult.Success)
        {
            throw ToException(result, call, null);
        }
    }

    public static void Ok(cublasStatus_t result, [CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result != cublasStatus_t.Success)
        {
            throw ToException(result, call, null);
        }
    }

    public static void Ok(ncclResult_t result, [CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result != ncclResult_t.Success)
        {
            string text = Text(Nccl.ncclGetErrorString(result)) ?? "";
            throw new CudaException("NCCL", (int)result, $"nccl{result}", text, Call(call), null);
        }
    }

    /// <param name="result">What the call answered.</param>
    /// <param name="call">The call's text.</param>
    /// <param name="device">The device's name, where it is known.</param>
    public static CudaException ToException(CUresult result, string call, string? device)
    {
        (string name, string text) = Names(result);
        return new CudaException("CUDA", (int)result, name, text, Call(call), device);
    }

    /// <inheritdoc cref="ToException(CUresult, string, string?)"/>
    public static CudaException ToException(cublasStatus_t result, string call, string? device)
    {
        string text = Text(CuBlasLt.cublasLtGetStatusString(result)) ?? "";
        return new CudaException("cuBLASLt", (int)result, $"CUBLAS_STATUS {result}", text, Call(call), device);
    }

    /// <summary>The number, name and description of the driver's answer: "700 CUDA_ERROR_ILLEGAL_ADDRESS, an illegal memory access was encountered".</summary>
    public static string Describe(CUresult result)
    {
        (string name, string text) = Names(result);
        return $"{(int)result} {name}, {text}";
    }

    private static (string Name, string Text) Names(CUresult result)
    {
        byte* name = null, text = null;
        _ = CudaDriver.cuGetErrorName(result, &name); // a number that this driver does not know leaves null
        _ = CudaDriver.cuGetErrorString(result, &text);
        return (Text(name) ?? $"CUresult {result}", Text(text) ?? "unknown to this driver");
    }

    private static string? Text(byte* utf8) => utf8 is null ? null : Marshal.PtrToStringUTF8((nint)utf8);

    /// <summary>The call in one line, without our class in front: CudaDriver.cuMemFree_v2(address) is cuMemFree_v2(address).</summary>
    private static string Call(string expression) => OwnClass().Replace(Spaces().Replace(expression, " "), "");

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();

    [GeneratedRegex(@"^(CudaDriver|CuBlasLt|Nccl)\.")]
    private static partial Regex OwnClass();
}
