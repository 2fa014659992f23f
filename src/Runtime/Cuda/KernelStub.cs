namespace Graft.Runtime;
internal static class KernelCompiler { public static byte[] Compile(string family, string arch) => []; }
internal static class KernelSource { public static string[] Families => []; }
