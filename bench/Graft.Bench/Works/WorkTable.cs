namespace Graft.Bench.Works;

/// <summary>The works, in the order they run.</summary>
internal static class WorkTable
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<IWork> All { get; } =
    [
        new MachineWork(),
        new SgemmWork(),
        new AttentionWork(),
        new OpsWork(),
        new AdamWWork(),
        new PlainWork(),
        new Gpt2Work(),
        new LlmcWork(),
        new SmolLm2Work(),
        new SmolLm2Work(checkpointing: true),
        new AdaptersWork(),
        new GrowthWork(),
        new GenerateWork(),
        new DecodeWork(),
        new StartWork(),
    ];

    /// <summary>The work of a name; null if there is none.</summary>
    public static IWork? Find(string name) => All.FirstOrDefault(w => w.Name == name);
}
