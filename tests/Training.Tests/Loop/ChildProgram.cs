namespace Graft.Training.Tests.Loop;

/// <summary>What this assembly does when it is started as a program: a run that another test kills.</summary>
internal static class ChildProgram
{
    public const string Command = "train-until-killed";

    public static async Task<int> Main(string[] arguments)
    {
        if (arguments is not [Command, string folder])
        {
            return 2;
        }

        using TinyRun run = new(KillTests.Shape(folder, saveEvery: 1));
        _ = await run.Run();
        return 0;
    }
}
