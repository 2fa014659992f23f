using System.Runtime.InteropServices;
using System.Text;

namespace Graft.Runtime.Interop;

/// <summary>What a compilation gave: the image, or null where there were errors; and the log, which has ptxas' figures if they were asked for.</summary>
internal sealed record NvrtcOutput(byte[]? Image, string Log);

internal sealed unsafe partial class NvrtcLibrary
{
    /// <summary>Compiles a program for a card: a cubin for sm_XY, PTX for compute_XY. Errors of the source are in the log, all others throw.</summary>
    /// <param name="source">The text of the file.</param>
    /// <param name="name">Its name, for messages.</param>
    /// <param name="headers">What it may include, by name.</param>
    /// <param name="options">As on nvcc's command line; --gpu-architecture is among them.</param>
    public NvrtcOutput Compile(string source, string name, IReadOnlyList<(string Name, string Text)> headers, IReadOnlyList<string> options)
    {
        using Utf8Texts text = new([source, name]);
        using Utf8Texts headerTexts = new([.. headers.Select(h => h.Text)]);
        using Utf8Texts headerNames = new([.. headers.Select(h => h.Name)]);
        using Utf8Texts arguments = new(options);
        nint program;
        Ok(_nvrtcCreateProgram(&program, text[0], text[1], headers.Count, headerTexts.Pointers, headerNames.Pointers), $"nvrtcCreateProgram({name})");
        try
        {
            nvrtcResult result = _nvrtcCompileProgram(program, options.Count, arguments.Pointers);
            string log = Encoding.UTF8.GetString(Read(program, _nvrtcGetProgramLogSize, _nvrtcGetProgramLog, $"nvrtcGetProgramLog({name})")).TrimEnd('\0', '\n');
            if (result == nvrtcResult.Compilation)
            {
                return new(null, log);
            }

            Ok(result, $"nvrtcCompileProgram({name}, {string.Join(' ', options)}) {log}".TrimEnd());
            bool virtualCard = options.Any(o => o.Contains("=compute_", StringComparison.Ordinal));
            return new(
                virtualCard
                    ? Read(program, _nvrtcGetPTXSize, _nvrtcGetPTX, $"nvrtcGetPTX({name})")
                    : Read(program, _nvrtcGetCUBINSize, _nvrtcGetCUBIN, $"nvrtcGetCUBIN({name})"),
                log);
        }
        finally
        {
            _ = _nvrtcDestroyProgram(&program);
        }
    }

    private byte[] Read(nint program, delegate* unmanaged<nint, nuint*, nvrtcResult> size, delegate* unmanaged<nint, byte*, nvrtcResult> content, string call)
    {
        nuint length;
        Ok(size(program, &length), call);
        byte[] bytes = new byte[length];
        fixed (byte* first = bytes)
        {
            Ok(content(program, first), call);
        }

        return bytes;
    }

    /// <summary>Texts as C wants them: an array of addresses of UTF-8 bytes that end with a zero.</summary>
    private sealed class Utf8Texts : IDisposable
    {
        private readonly nint[] _texts;
        private GCHandle _pinned;

        public Utf8Texts(IReadOnlyList<string> texts)
        {
            _texts = [.. texts.Select(Marshal.StringToCoTaskMemUTF8)];
            _pinned = GCHandle.Alloc(_texts, GCHandleType.Pinned);
        }

        public byte** Pointers => (byte**)_pinned.AddrOfPinnedObject();

        public byte* this[int i] => (byte*)_texts[i];

        public void Dispose()
        {
            _pinned.Free();
            Array.ForEach(_texts, Marshal.FreeCoTaskMem);
        }
    }
}
