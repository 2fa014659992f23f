using System.Collections.Frozen;
using Graft.Runtime;

namespace Graft.Models.Checkpoints;

/// <summary>The element types of the safetensors format: code, bits of one element, and our own type where there is one.</summary>
internal static class SafeTensorsType
{
    private static readonly FrozenDictionary<string, (int Bits, DType? Type)> s_types = new Dictionary<string, (int, DType?)>
    {
        ["F64"] = (64, DType.F64),
        ["F32"] = (32, DType.F32),
        ["F16"] = (16, DType.F16),
        ["BF16"] = (16, DType.BF16),
        ["I64"] = (64, DType.I64),
        ["I32"] = (32, DType.I32),
        ["U8"] = (8, DType.U8),
        ["BOOL"] = (8, DType.Bool),
        ["I16"] = (16, null),
        ["I8"] = (8, null),
        ["U16"] = (16, null),
        ["U32"] = (32, null),
        ["U64"] = (64, null),
        ["C64"] = (64, null),
        ["F8_E4M3"] = (8, null),
        ["F8_E5M2"] = (8, null),
        ["F8_E8M0"] = (8, null),
        ["F8_E4M3FNUZ"] = (8, null),
        ["F8_E5M2FNUZ"] = (8, null),
        ["F6_E2M3"] = (6, null),
        ["F6_E3M2"] = (6, null),
        ["F4"] = (4, null),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    public static bool TryGet(string code, out int bits, out DType? type)
    {
        bool known = s_types.TryGetValue(code, out (int Bits, DType? Type) found);
        (bits, type) = found;
        return known;
    }

    public static string Code(DType type) => type switch
    {
        DType.F64 => "F64",
        DType.F32 => "F32",
        DType.F16 => "F16",
        DType.BF16 => "BF16",
        DType.I64 => "I64",
        DType.I32 => "I32",
        DType.U8 => "U8",
        _ => "BOOL",
    };
}
