using System.Text.Json;
using System.Text.Unicode;

namespace Graft.Training.Data;

/// <summary>Reads samples from JSON lines: one object a line, UTF-8; empty lines are skipped, further fields ignored.</summary>
public static class JsonlReader
{
    /// <summary>The samples of a file in its order, read as they are asked for.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">Which fields to take; null: the defaults.</param>
    /// <exception cref="DatasetException">The file cannot be opened, or a line is not a sample: names file, line and what was found.</exception>
    public static IEnumerable<DataSample> Read(string path, JsonlOptions? options = null)
    {
        using FileStream stream = Open(path);
        foreach (DataSample sample in Read(stream, path, options))
        {
            yield return sample;
        }
    }

    /// <summary>The samples of a stream; <paramref name="name"/> is what errors call it.</summary>
    /// <exception cref="DatasetException">A line is not a sample.</exception>
    public static IEnumerable<DataSample> Read(Stream stream, string name, JsonlOptions? options = null)
    {
        options ??= new JsonlOptions();
        var lines = new Utf8LineReader(stream, name, options.MaxLineBytes);
        while (lines.TryRead(out ReadOnlyMemory<byte> line))
        {
            if (!line.Span.Trim(" \t"u8).IsEmpty)
            {
                yield return Parse(line.Span, name, lines.Line, options);
            }
        }
    }

    internal static FileStream Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DatasetException(path, 0, e is FileNotFoundException or DirectoryNotFoundException ? "there is no such data file." : e.Message, e);
        }
    }

    private static DataSample Parse(ReadOnlySpan<byte> line, string file, long number, JsonlOptions options)
    {
        if (!Utf8.IsValid(line))
        {
            throw new DatasetException(file, number, "the line is not valid UTF-8; convert the file to UTF-8.");
        }

        bool isText = options.Format == SampleFormat.Text;
        (string firstName, string secondName) = isText ? (options.TextField, options.TextField) : (options.PromptField, options.CompletionField);
        (string? first, string? second) = (null, null);
        try
        {
            var reader = new Utf8JsonReader(line);
            reader.Read();
            if (reader.TokenType != JsonTokenType.StartObject)
            {
                throw new DatasetException(file, number, $"a line must be a JSON object, this is {Describe(reader.TokenType)}.");
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals(firstName))
                {
                    first = Value(ref reader, firstName, first, file, number);
                }
                else if (reader.ValueTextEquals(secondName))
                {
                    second = Value(ref reader, secondName, second, file, number);
                }
                else
                {
                    reader.Skip();
                }
            }

            // One more token must not exist; the reader itself throws for text after the object.
            reader.Read();
        }
        catch (JsonException e)
        {
            throw new DatasetException(file, number, $"malformed JSON at byte {(e.BytePositionInLine ?? 0) + 1}: {FirstSentence(e.Message)}", e);
        }
        catch (InvalidOperationException e)
        {
            throw new DatasetException(file, number, "malformed JSON: a \\u escape is half of a surrogate pair.", e);
        }

        if (first is null || (!isText && second is null))
        {
            string missing = first is null ? firstName : secondName;
            throw new DatasetException(file, number, $"the field \"{missing}\" is missing. Field names are set by the options of the data.");
        }

        return isText ? new TextSample(first, number) : new PromptSample(first, second!, number);
    }

    private static string Value(ref Utf8JsonReader reader, string field, string? earlier, string file, long number)
    {
        if (earlier is not null)
        {
            throw new DatasetException(file, number, $"the field \"{field}\" occurs twice.");
        }

        reader.Read();
        return reader.TokenType == JsonTokenType.String
            ? reader.GetString()!
            : throw new DatasetException(file, number, $"the field \"{field}\" must be a string, this is {Describe(reader.TokenType)}.");
    }

    private static string Describe(JsonTokenType type) => type switch
    {
        JsonTokenType.StartArray => "an array",
        JsonTokenType.StartObject => "an object",
        JsonTokenType.String => "a string",
        JsonTokenType.Number => "a number",
        JsonTokenType.True or JsonTokenType.False => "a boolean",
        JsonTokenType.Null => "null",
        _ => "nothing",
    };

    private static string FirstSentence(string message)
    {
        int end = message.IndexOf(". ", StringComparison.Ordinal);
        return end > 0 ? message[..(end + 1)] : message;
    }
}
