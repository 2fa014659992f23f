using System.CommandLine;
using Graft.Cli.Output;
using Graft.Models.Adapters;
using Graft.Models.Architectures;
using Graft.Training;
using Graft.Training.Optimizers;
using Graft.Training.Runs;

namespace Graft.Cli.Commands;

/// <summary>`graft methods`: the tables of what there is to choose from.</summary>
internal static class MethodsCommand
{
    public static Command Create(ToolConsole console)
    {
        Option<bool> json = CommonOptions.Json();
        Command command = new("methods", "Lists adapters, optimizers, schedules, architectures and objectives.") { json };
        command.SetAction(parsed =>
        {
            foreach ((string kind, string[] titles, string[][] rows) in Tables())
            {
                if (!parsed.GetValue(json))
                {
                    console.Out.WriteLine($"{kind}s");
                    console.Out.WriteLine(Words.Table(titles, rows));
                    continue;
                }

                foreach (string[] row in rows)
                {
                    JsonLines.Write(console.Out, kind, line =>
                    {
                        for (int i = 0; i < titles.Length; i++)
                        {
                            line.WriteString(titles[i], row[i]);
                        }
                    });
                }
            }

            return ExitCode.Ok;
        });
        return command;
    }

    private static IEnumerable<(string Kind, string[] Titles, string[][] Rows)> Tables()
    {
        yield return ("adapter", ["name", "peft_type", "also"],
            [.. AdapterTable.Rows.Select(r => new[] { r.Name, r.PeftType, r.AdaptsEmbeddings ? "embeddings" : "" })]);
        yield return ("optimizer", ["name", "what", "options"],
            [.. OptimizerTable.Rows.Select(r => new[] { r.Name, r.Description, string.Join(", ", [.. r.Options, OptimizerTable.LoraPlusRatio]) })]);
        yield return ("schedule", ["name"], [.. ScheduleTable.Names.Select(n => new[] { n })]);
        yield return ("architecture", ["name", "what"], [.. ArchitectureTable.Rows.Select(r => new[] { r.ModelType, r.Covers })]);
        yield return ("objective", ["name", "what"], [.. ObjectiveTable.Rows.Select(r => new[] { r.Name, r.Description })]);
    }
}
