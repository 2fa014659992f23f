using System.Security.Cryptography;
using System.Text;

namespace Graft.Runtime;

/// <summary>Compiled kernels on disk, one file per family, architecture and key. Whatever is wrong with the folder costs time, never the run.</summary>
/// <remarks>
/// A file is the image followed by the SHA-256 of its key and image: a file that was cut off, damaged or renamed does not match and is compiled anew.
/// Files are written beside their place and renamed, so that two processes never see half of one.
/// </remarks>
internal sealed class KernelCache
{
    /// <summary>Raised when the meaning of a file changes.</summary>
    public const int Format = 1;

    public const string FolderVariable = "GRAFT_CACHE";

    private static readonly Lazy<KernelCache> s_default = new(() => new KernelCache(DefaultFolder()));

    public KernelCache(string? folder)
    {
        Folder = folder;
        Problem = folder is null ? $"there is no home folder to keep compiled kernels in: set {FolderVariable}" : null;
    }

    public static KernelCache Default => s_default.Value;

    /// <summary>Null where the user has none.</summary>
    public string? Folder { get; }

    /// <summary>Why the last write or read failed; null where none did.</summary>
    public string? Problem { get; private set; }

    /// <summary>A digest over parts; the lengths go in, so that moving a letter from one part to the next changes it.</summary>
    public static string Key(IEnumerable<string> parts)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string part in parts)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(part);
            hash.AppendData(BitConverter.GetBytes(bytes.Length));
            hash.AppendData(bytes);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>The image of a key; null where there is none or it is damaged.</summary>
    public byte[]? Read(string family, string architecture, string key)
    {
        if (PathOf(family, architecture, key) is not { } path)
        {
            return null;
        }

        try
        {
            byte[] file = File.ReadAllBytes(path);
            int length = file.Length - SHA256.HashSizeInBytes;
            return length > 0 && Guard(key, file.AsSpan(0, length)).AsSpan().SequenceEqual(file.AsSpan(length)) ? file[..length] : null;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Problem = $"{path} cannot be read: {e.Message}";
            return null;
        }
    }

    /// <summary>Keeps an image; where that is impossible, <see cref="Problem"/> says why.</summary>
    public void Write(string family, string architecture, string key, ReadOnlySpan<byte> image)
    {
        if (PathOf(family, architecture, key) is not { } path)
        {
            return;
        }

        string temporary = $"{path}.{Environment.ProcessId}.{Environment.CurrentManagedThreadId}.tmp";
        try
        {
            MakeFolder(Folder!);
            using (FileStream stream = File.Create(temporary))
            {
                stream.Write(image);
                stream.Write(Guard(key, image));
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Problem = Unwritable(e);
            TryDelete(temporary);
        }
    }

    /// <summary>Files and bytes that are kept, after a look whether more can be; <see cref="Problem"/> says why not.</summary>
    public (int Files, long Bytes) Probe()
    {
        if (Folder is null)
        {
            return (0, 0);
        }

        string probe = Path.Combine(Folder, $"probe.{Environment.ProcessId}.tmp");
        try
        {
            MakeFolder(Folder);
            File.WriteAllBytes(probe, []);
            File.Delete(probe);
            FileInfo[] files = new DirectoryInfo(Folder).GetFiles("*.cubin");
            return (files.Length, files.Sum(f => f.Length));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Problem = Unwritable(e);
            return (0, 0);
        }
    }

    /// <summary>GRAFT_CACHE/kernels, or graft/kernels in the user's cache folder.</summary>
    private static string? DefaultFolder()
    {
        if (Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } named)
        {
            return Path.Combine(named, "kernels");
        }

        string root = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") ?? "";
        if (root.Length == 0)
        {
            root = OperatingSystem.IsLinux() && Environment.GetEnvironmentVariable("HOME") is { Length: > 0 } home
                ? Path.Combine(home, ".cache")
                : Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData);
        }

        return root.Length == 0 ? null : Path.Combine(root, "graft", "kernels");
    }

    private static byte[] Guard(string key, ReadOnlySpan<byte> image)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(key));
        hash.AppendData(image);
        return hash.GetHashAndReset();
    }

    /// <summary>Others may not write here: what lies in it is run.</summary>
    private static void MakeFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            _ = Directory.CreateDirectory(folder);
        }
        else
        {
            _ = Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    /// <summary>The start of a file that could not be written; where it cannot even be deleted, it stays, and does no harm.</summary>
    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Problem already says that the folder cannot be written.
        }
    }

    private string Unwritable(Exception e) => $"compiled kernels cannot be kept in {Folder}: {e.Message} Each start compiles them again; {FolderVariable} names another folder.";

    private string? PathOf(string family, string architecture, string key) => Folder is null ? null : Path.Combine(Folder, $"{family}-{architecture}-{key}.cubin");
}
