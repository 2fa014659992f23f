using System.Reflection;
using Graft.Gpu;

// One program for a machine without .NET: the tests, the benchmarks and the graft tool, on one copy of the runtime.
const string Usage = """
    graft-gpu tests [assembly ...] [--category C] [--match text] [--seconds N] [--idle N] --out folder
        runs NUnit tests in processes of their own: one that faults or hangs is marked and the others go on in a new process
    graft-gpu bench ...       the command `gpu` of Graft.Bench, its arguments
    graft-gpu graft ...       the graft tool, its arguments

    Tests use the card with GRAFT_TEST_GPU=1; GRAFT_FIXTURES names their recordings.
    """;

return args switch
{
    ["tests", .. string[] rest] => TestCommand.Run(rest),
    [TestChild.Verb, .. string[] rest] => TestChild.Run(rest),
    ["bench", .. string[] rest] => Graft.Bench.Gpu.GpuCommand.Run(rest),
    ["graft", .. string[] rest] => Call("graft", rest),
    _ => Complain(),
};

static int Call(string program, string[] arguments)
{
    // Main of `return await` programs is a synchronous method around it that returns the code.
    return (int)(Assembly.Load(program).EntryPoint!.Invoke(null, [arguments]) ?? 0);
}

static int Complain()
{
    Console.Error.WriteLine(Usage);
    return 2;
}
