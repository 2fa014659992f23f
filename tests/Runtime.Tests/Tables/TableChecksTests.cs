using NUnit.Framework.Internal;

namespace Graft.Runtime.Tests.Tables;

/// <summary>The checks of the table fail where they should.</summary>
public class TableChecksTests
{
    private static readonly OpTests s_tests = new();

    private static readonly Dictionary<string, Action<object>> s_checks = new()
    {
        ["forward in doubles"] = s_tests.Forward_agrees_with_the_reference_in_doubles,
        ["forward in floats"] = s_tests.Forward_agrees_with_the_reference_in_floats,
        ["differences"] = s_tests.Backward_agrees_with_differences_of_the_reference_in_doubles,
        ["backward of the reference"] = s_tests.Backward_agrees_with_that_of_the_reference,
        ["needed gradients"] = s_tests.Gradients_are_the_same_whichever_others_are_needed_and_add_up,
        ["threads"] = s_tests.Results_are_the_same_bits_on_any_number_of_threads_and_every_time,
        ["views"] = s_tests.Inputs_that_are_views_at_an_odd_offset_give_the_same_bits,
        ["meta"] = s_tests.Meta_gives_the_shapes_and_takes_the_memory_of_the_cpu,
    };

    private static string[] Checks() => [.. s_checks.Keys];

    [TestCaseSource(nameof(Checks))]
    public void A_sound_op_passes(string check) => Assert.That(Fails(check, Fault.None), Is.Null);

    [TestCase("Forward", "forward in doubles")]
    [TestCase("Forward", "forward in floats")]
    [TestCase("Gradient", "differences")]
    [TestCase("Gradient", "backward of the reference")]
    [TestCase("OneGradientElement", "differences")]
    [TestCase("OneGradientElement", "backward of the reference")]
    [TestCase("IgnoresAccumulate", "needed gradients")]
    [TestCase("WritesUpstream", "differences")]
    [TestCase("UsesUnneeded", "needed gradients")]
    [TestCase("ReadsBeyond", "views")]
    [TestCase("DependsOnThreads", "threads")]
    [TestCase("DependsOnAddress", "views")]
    [TestCase("Leaks", "meta")]
    [TestCase("MetaShape", "meta")]
    [TestCase("MetaMemory", "meta")]
    public void A_fault_is_found(string fault, string check) => Assert.That(Fails(check, Enum.Parse<Fault>(fault)), Is.Not.Null);

    private static string? Fails(string check, Fault fault)
    {
        Row row = Row.Of(new FaultyOp(fault), shapes: ["7,7", "3x5,3x5"]);
        using (new TestExecutionContext.IsolatedContext())
        {
            try
            {
                s_checks[check](row);
                return null;
            }
            catch (Exception e) when (e is AssertionException or AutogradException)
            {
                return e.Message;
            }
        }
    }
}
