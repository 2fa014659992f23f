using System.Runtime.InteropServices;
using System.Text;

namespace Graft.Models.Checkpoints;

/// <summary>What the base library lacks for durable files on Unix: fsync of a directory and the exchange of two names. Elsewhere both do nothing.</summary>
internal static unsafe partial class FileSync
{
    private const uint ExchangeFlag = 2; // RENAME_EXCHANGE of linux/fs.h
    private const int CurrentDirectory = -100; // AT_FDCWD on Linux

    /// <summary>Makes the names in a directory durable. File systems that cannot do so are left alone: the rename itself has happened.</summary>
    public static void Directory(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        fixed (byte* name = Encoding.UTF8.GetBytes(path + '\0'))
        {
            int descriptor = open(name, 0); // 0 is O_RDONLY everywhere
            if (descriptor >= 0)
            {
                _ = fsync(descriptor);
                _ = close(descriptor);
            }
        }
    }

    /// <summary>Makes the contents of a file durable.</summary>
    public static void File(string path)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle handle = System.IO.File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
        RandomAccess.FlushToDisk(handle);
    }

    /// <summary>Exchanges two existing names in one step; false where the system cannot.</summary>
    public static bool TryExchange(string first, string second)
    {
        if (!OperatingSystem.IsLinux())
        {
            return false;
        }

        try
        {
            fixed (byte* a = Encoding.UTF8.GetBytes(first + '\0'), b = Encoding.UTF8.GetBytes(second + '\0'))
            {
                return renameat2(CurrentDirectory, a, CurrentDirectory, b, ExchangeFlag) == 0;
            }
        }
        catch (EntryPointNotFoundException)
        {
            return false; // a C library without it (glibc before 2.28)
        }
    }

    [LibraryImport("libc")]
    private static partial int open(byte* path, int flags);

    [LibraryImport("libc")]
    private static partial int fsync(int descriptor);

    [LibraryImport("libc")]
    private static partial int close(int descriptor);

    [LibraryImport("libc")]
    private static partial int renameat2(int fromDirectory, byte* from, int toDirectory, byte* to, uint flags);
}
