using System.Text.RegularExpressions;
using CsCheck;
using Graft.Models.Tokenizers;
using Graft.Runtime;

namespace Graft.Models.Tests.Tokenizers;

[TestFixture]
public class PatternTests
{
    private static readonly string[] s_known =
    [
        @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        @"(?<=\p{L})\p{N}+|(a|b)*?c|(?>a+)b|x{2,3}y?|[^a-c&&[^x]]",
        @"(\p{L})\1|a+?b|(?:ab|a)(?:bc|c)?",
        @"(?<!a)b|(?<=ab|c)d|^a|b$|\Aab|c\z",
    ];

    [Test]
    public void Patterns_agree_with_dotnet_on_random_ascii_text([ValueSource(nameof(s_known))] string pattern)
    {
        if (pattern.Contains("&&", StringComparison.Ordinal))
        {
            // .NET writes the same class as a subtraction.
            pattern = pattern.Replace("[^a-c&&[^x]]", "[^a-cx]", StringComparison.Ordinal);
        }

        Regex oracle = new(pattern, RegexOptions.CultureInvariant | RegexOptions.Multiline, TimeSpan.FromSeconds(5));
        SplitPattern own = SplitPattern.OfRegex(pattern);
        Gen.Char["aabbccdxXy'sStl 1 2\n\r\t.,é"].Array[0, 40].Select(a => new string(a)).Sample(
            text =>
            {
                List<TextPart> parts = [];
                own.FindParts(text, parts);
                string[] expected = [.. oracle.Matches(text).Where(m => m.Length > 0).Select(m => $"{m.Index}+{m.Length}")];
                string[] actual = [.. parts.Where(p => p.IsMatch && p.End > p.Start).Select(p => $"{p.Start}+{p.End - p.Start}")];
                return expected.SequenceEqual(actual);
            },
            iter: 3000,
            seed: "0N0XIzNsQ0O2");
    }

    [TestCase(@"\p{L}+", "\U00010400\U00010428a\U0001F600", "0-5")]
    [TestCase(@"[^a]", "\U0001F600a", "0-2")]
    [TestCase(@".", "\U0001F600", "0-2")]
    [TestCase(@"\X", "e\u0301x", "0-2 2-3")]
    [TestCase(@"(?i)k", "K\u212A", "0-1 1-2")]
    [TestCase(@"a{1,2}+", "aaaa", "0-4")]
    [TestCase(@"[[:alpha:]]+", "aé1", "0-2")]
    [TestCase(@"a++a", "aaa", "")]
    [TestCase(@"[a-z&&[^b]]+", "abc", "0-1 2-3")]
    [TestCase(@"(?<x>a|b)\k<x>", "abba", "1-3")]
    [TestCase(@"\u0061\x62\x{63}", "abc", "0-3")]
    [TestCase(@"(?m:a.b)", "a\nb", "0-3")]
    [TestCase(@"(?x: a b # note
        )", "ab", "0-2")]
    public void A_construct_means_what_the_dialect_says(string pattern, string text, string matches)
    {
        List<TextPart> parts = [];
        SplitPattern.OfRegex(pattern).FindParts(text, parts);
        Assert.That(string.Join(' ', parts.Where(p => p.IsMatch).Select(p => $"{p.Start}-{p.End}")), Is.EqualTo(matches));
    }

    [TestCase("(a+)+$")]
    [TestCase("(a|aa)+$")]
    [TestCase("(.*)*x")]
    public void A_catastrophic_pattern_ends_with_a_typed_error_or_an_answer(string pattern)
    {
        System.Diagnostics.Stopwatch clock = System.Diagnostics.Stopwatch.StartNew();
        try
        {
            SplitPattern.OfRegex(pattern).FindParts(new string('a', 60) + "!", []);
        }
        catch (GraftException e)
        {
            Assert.That(e.Message, Does.Contain("pattern"));
        }

        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(10)));
    }

    [TestCase("(a")]
    [TestCase("a)")]
    [TestCase("[a")]
    [TestCase("*a")]
    [TestCase("a{5,2}")]
    [TestCase("(?<=a*)b")]
    [TestCase(@"\p{Nope}")]
    [TestCase(@"\2(a)")]
    [TestCase(@"\K")]
    [TestCase("((((a{900}){900}){900}){900})")]
    [TestCase("(?~abc)")]
    public void A_pattern_that_cannot_be_read_is_refused(string pattern) =>
        Assert.That(() => SplitPattern.OfRegex(pattern), Throws.TypeOf<CheckpointException>());
}
