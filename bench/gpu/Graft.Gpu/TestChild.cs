using System.Reflection;
using System.Text.RegularExpressions;
using NUnit.Framework.Api;
using NUnit.Framework.Interfaces;
using NUnit.Framework.Internal;

namespace Graft.Gpu;

/// <summary>Runs what the journal does not have yet, in this process, test after test. Ends early after a fault that the card does not recover from.</summary>
internal sealed partial class TestChild : TestFilter, ITestListener
{
    public const string Verb = "tests-child";

    /// <summary>The exit code after such a fault: the rest belongs into a new process.</summary>
    public const int Poisoned = 3;

    private readonly TestOptions _options;
    private readonly HashSet<string> _done;
    private readonly HashSet<string> _again;
    private readonly StreamWriter _journal;
    private int _count;
    private int _failures;

    private TestChild(TestOptions options)
    {
        _options = options;
        (List<TestEnd> ended, _, List<string> again) = TestJournal.Read(options.Journal);
        (_done, _again) = ([.. ended.Select(e => e.Name)], [.. again]);
        _journal = TestJournal.Open(options.Journal);
    }

    public static int Run(string[] args)
    {
        TestChild child = new(TestOptions.Parse(args));
        foreach (string name in child._options.Assemblies)
        {
            NUnitTestAssemblyRunner runner = new(new DefaultTestAssemblyBuilder());
            _ = runner.Load(Assembly.Load(name), new Dictionary<string, object> { [NUnit.FrameworkPackageSettings.NumberOfTestWorkers] = 0 });
            _ = runner.Run(child, child);
        }

        Console.WriteLine($"{child._count} tests in this process, {child._failures} failed");
        return 0;
    }

    public override bool Match(ITest test) =>
        !test.IsSuite
        && !_done.Contains(test.FullName)
        && (_options.Category is null || HasCategory(test, _options.Category))
        && (_options.Match is null || _options.Match.Split(',').Any(text => test.FullName.Contains(text, StringComparison.Ordinal)));

    public override TNode AddToXml(TNode parentNode, bool recursive) => parentNode.AddElement("graft");

    public void TestStarted(ITest test)
    {
        if (!test.IsSuite)
        {
            TestJournal.Start(_journal, test.FullName);
        }
    }

    public void TestFinished(ITestResult result)
    {
        if (result.Test.IsSuite)
        {
            return;
        }

        string name = result.Test.FullName, message = result.Message ?? "";
        _failures += result.ResultState.Status == TestStatus.Failed ? 1 : 0;
        bool poisoned = result.ResultState.Status == TestStatus.Failed && Fault().IsMatch(message);
        if (poisoned && _count++ > 0 && _again.Add(name))
        {
            TestJournal.Again(_journal, name); // the fault may be one that an earlier test left behind, on purpose even: judged in a process of its own
        }
        else
        {
            _count++;
            string label = result.ResultState.Label is { Length: > 0 } special ? special : result.ResultState.Status.ToString();
            TestJournal.End(_journal, new TestEnd(name, label, result.Duration, message));
        }

        if (poisoned)
        {
            // Nothing of this process may be asked of the driver any more; the parent goes on in a new one.
            Environment.Exit(Poisoned);
        }
    }

    public void TestOutput(TestOutput output)
    {
    }

    public void SendMessage(TestMessage message)
    {
    }

    private static bool HasCategory(ITest test, string category)
    {
        for (ITest? at = test; at is not null; at = at.Parent)
        {
            if (at.Properties[PropertyNames.Category].Contains(category))
            {
                return true;
            }
        }

        return false;
    }

    // CudaException.IsSticky, as its text says it.
    [GeneratedRegex("cannot be used any more|CUDA_ERROR_(ILLEGAL|MISALIGNED|LAUNCH_FAILED|LAUNCH_TIMEOUT|INVALID_PC|INVALID_ADDRESS_SPACE|HARDWARE_STACK|ASSERT|ECC|CONTEXT_IS_DESTROYED|DEINITIALIZED|UNKNOWN)")]
    private static partial Regex Fault();
}
