using System.CommandLine;
using Graft.Cli.Output;
using Graft.Models.Adapters;
using Graft.Runtime;
using Graft.Training.Runs;

namespace Graft.Cli.Commands;

/// <summary>`graft merge`: a model with adapters folded into its weights, as a Hugging Face folder.</summary>
internal static class MergeCommand
{
    public static Command Create(ToolConsole console)
    {
        Argument<string> target = new("model") { Description = "A model folder or a GGUF file." };
        Option<string[]> adapters = CommonOptions.Adapters();
        adapters.Required = true;
        Option<string> output = new("--output", "-o") { Description = "The folder to write; made, or replaced as a whole.", Required = true };
        Option<string> dtype = CommonOptions.DType();
        Option<string?> place = CommonOptions.Device("cpu");
        Option<bool> json = CommonOptions.Json();
        Command command = new("merge", "Folds adapters into the weights and writes a Hugging Face folder.") { target, adapters, output, dtype, place, json };
        command.SetAction((parsed, _) => Task.Run(() =>
        {
            string folder = Path.GetFullPath(parsed.GetRequiredValue(output));
            string source = Path.GetFullPath(parsed.GetRequiredValue(target));
            if (folder == source)
            {
                throw new UsageException("--output is the model itself; the merged model needs a folder of its own.");
            }

            using Device device = console.Open(parsed.GetValue(place) ?? "cpu");
            using LoadedModel model = LoadedModel.Load(source, device, parsed.GetRequiredValue(dtype));
            List<string> names = [];
            foreach (string adapter in parsed.GetRequiredValue(adapters))
            {
                AttachedAdapter added = model.AddAdapter(adapter);
                names.Add(added.Name);
                foreach (string warning in added.Warnings)
                {
                    console.Error.WriteLine(warning);
                }
            }

            model.Adapters.Merge(names);
            model.Pretrained.Save(folder);
            if (parsed.GetValue(json))
            {
                JsonLines.Write(console.Out, "merged", line =>
                {
                    line.WriteNumber("adapters", names.Count);
                    line.WriteString("output", folder);
                });
            }
            else
            {
                console.Out.WriteLine($"{string.Join(", ", names)} merged: {folder}");
            }

            return ExitCode.Ok;
        }, CancellationToken.None));
        return command;
    }
}
