namespace Graft.Runtime;

/// <summary>The base of every error that Graft raises on its own account. The text says what was given, what is needed and what to do.</summary>
public class GraftException : Exception
{
    /// <summary>An error without text; prefer the others.</summary>
    public GraftException()
    {
    }

    /// <summary>An error with its text.</summary>
    public GraftException(string message)
        : base(message)
    {
    }

    /// <summary>An error with its text and cause.</summary>
    public GraftException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

/// <summary>Shapes that do not fit together.</summary>
public sealed class ShapeException(string message) : GraftException(message);

/// <summary>An element type that an operation does not take.</summary>
public sealed class DTypeException(string message) : GraftException(message);

/// <summary>A file of weights, configuration or state that is broken or does not fit. Names the file and every mismatch found.</summary>
public sealed class CheckpointException : GraftException
{
    /// <summary>An error with its text.</summary>
    public CheckpointException(string message)
        : base(message)
    {
    }

    /// <summary>An error with its text and cause.</summary>
    public CheckpointException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

/// <summary>A loss or gradient that is not recorded as expected: an input needs a gradient and the operation has none, a parameter received none, a tape was used twice.</summary>
public sealed class AutogradException(string message) : GraftException(message);

/// <summary>Options or files of a user that cannot be run as they stand; names the field and what it may be.</summary>
public sealed class ConfigurationException : GraftException
{
    /// <summary>An error with its text.</summary>
    public ConfigurationException(string message)
        : base(message)
    {
    }

    /// <summary>An error with its text and cause.</summary>
    public ConfigurationException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

/// <summary>A device has no memory left; says what the arenas hold.</summary>
public sealed class OutOfDeviceMemoryException : GraftException
{
    /// <summary>An error with its text.</summary>
    public OutOfDeviceMemoryException(string message)
        : base(message)
    {
    }

    /// <summary>An error with its text and cause.</summary>
    public OutOfDeviceMemoryException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>The same with the op that asked for the memory in front.</summary>
    internal OutOfDeviceMemoryException During(string op) => new($"{op}: {Message}", this);
}
