using System.Globalization;
using System.Text;

namespace Graft.Cli.Output;

/// <summary>Numbers and tables as people read them.</summary>
internal static class Words
{
    private static readonly string[] s_units = ["B", "KiB", "MiB", "GiB", "TiB"];

    public static string Bytes(long bytes)
    {
        double value = bytes;
        int unit = 0;
        while (Math.Abs(value) >= 1024 && unit < s_units.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{value:0.##} {s_units[unit]}");
    }

    public static string Number(double value, string format = "0.####") => value.ToString(format, CultureInfo.InvariantCulture);

    public static string Count(long value) => value.ToString("#,0", CultureInfo.InvariantCulture);

    public static string Duration(double seconds)
    {
        return seconds < 60 ? $"{Number(seconds, "0.0")} s" : string.Create(CultureInfo.InvariantCulture, $"{(long)seconds / 60}:{(long)seconds % 60:00} min");
    }

    /// <summary>Bytes as `1500000`, `500MB`, `2.5GiB`, `2G`; null where it is none of these.</summary>
    public static long? ParseBytes(string text)
    {
        string digits = new([.. text.TakeWhile(c => char.IsAsciiDigit(c) || c == '.')]);
        string unit = text[digits.Length..].Trim();
        double factor = unit.ToUpperInvariant() switch
        {
            "" or "B" => 1,
            "K" or "KIB" => 1L << 10,
            "M" or "MIB" => 1L << 20,
            "G" or "GIB" => 1L << 30,
            "T" or "TIB" => 1L << 40,
            "KB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            _ => 0,
        };
        bool valid = double.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number)
            && factor > 0 && number * factor is >= 1 and < 1e18;
        return valid ? (long)(number * factor) : null;
    }

    /// <summary>Rows in columns two blanks apart, under a line of titles.</summary>
    public static string Table(IReadOnlyList<string> titles, IEnumerable<IReadOnlyList<string>> rows)
    {
        List<IReadOnlyList<string>> all = [titles, .. rows];
        int[] widths = [.. titles.Select((_, column) => all.Max(r => r[column].Length))];
        StringBuilder text = new();
        foreach (IReadOnlyList<string> row in all)
        {
            string line = string.Join("  ", row.Select((cell, column) => cell.PadRight(widths[column])));
            text.Append("  ").Append(line.TrimEnd()).Append('\n');
        }

        return text.ToString();
    }
}
