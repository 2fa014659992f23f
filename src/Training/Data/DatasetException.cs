using Graft.Runtime;

namespace Graft.Training.Data;

/// <summary>Training data that cannot be read or used; names the file and, where there is one, the line.</summary>
public sealed class DatasetException : GraftException
{
    /// <summary>An error with its place: the text starts with `file:line: `.</summary>
    /// <param name="file">The file as the user named it.</param>
    /// <param name="line">The line, counted from 1; 0 when the whole file is meant.</param>
    /// <param name="message">What is wrong and what is needed.</param>
    /// <param name="innerException">The cause, if another library reported it.</param>
    public DatasetException(string file, long line, string message, Exception? innerException = null)
        : base(line > 0 ? $"{file}:{line}: {message}" : $"{file}: {message}", innerException!)
    {
        File = file;
        Line = line;
    }

    /// <summary>The file as the user named it.</summary>
    public string File { get; }

    /// <summary>The line, counted from 1; 0 when the whole file is meant.</summary>
    public long Line { get; }
}
