using System.CommandLine;
using System.Text.Json;
using Graft.Cli.Output;
using Graft.Runtime;
using Graft.Training.Runs;

namespace Graft.Cli.Commands;

/// <summary>`graft plan`: memory of a run by category, to the byte, and an estimate of its time, before anything is allocated.</summary>
internal static class PlanCommand
{
    public static Command Create(ToolConsole console)
    {
        Argument<string> file = CommonOptions.RunFile();
        Option<string[]> set = CommonOptions.Set();
        Option<string?> limit = new("--limit")
        {
            Description = "Bytes that may be used (2.5GiB, 500M, ...); where the run does not fit, the cheapest change that does is named.",
        };
        Option<string?> device = CommonOptions.Device();
        Option<bool> json = CommonOptions.Json();
        Command command = new("plan", "Says what memory and time a run will take.") { file, set, limit, device, json };
        command.SetAction(async (parsed, cancellation) =>
        {
            string path = parsed.GetRequiredValue(file);
            string[] overrides = CommonOptions.Overrides(parsed.GetValue(set), parsed.GetValue(device));
            long? most = parsed.GetValue(limit) is { } text
                ? Words.ParseBytes(text) ?? throw new UsageException($"--limit is '{text}'; allowed: bytes such as 1500000, 500M or 2.5GiB.")
                : null;
            RunFile run = RunFile.Load(path, overrides);
            RunPlan plan = await RunPlan.OfAsync(run, cancellation).ConfigureAwait(false);
            double rate = ProductRate.Of(run);
            PlanChange? change = most is { } bytes && plan.Memory.Peak > bytes
                ? await Cheapest(path, overrides, bytes, cancellation).ConfigureAwait(false)
                : null;
            if (parsed.GetValue(json))
            {
                WriteJson(console, plan, rate, most, change);
            }
            else
            {
                WriteText(console, plan, rate, most, change);
            }

            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>The first change in order of cost with which the run fits; null where none does.</summary>
    private static async Task<PlanChange?> Cheapest(string path, string[] overrides, long limit, CancellationToken cancellation)
    {
        RunFile run = RunFile.Load(path, overrides);
        foreach (PlanChange change in RunPlan.Changes(run))
        {
            RunPlan plan = await RunPlan.OfAsync(RunFile.Load(path, [.. overrides, .. change.Overrides]), cancellation).ConfigureAwait(false);
            if (plan.Memory.Peak <= limit)
            {
                return change with { Peak = plan.Memory.Peak };
            }
        }

        return null;
    }

    private static void WriteText(ToolConsole console, RunPlan plan, double rate, long? limit, PlanChange? change)
    {
        List<string[]> rows = [];
        foreach (MemoryCategory category in Enum.GetValues<MemoryCategory>())
        {
            (long held, long step) = (plan.Memory.Persistent[category], plan.Memory.StepPeak[category]);
            if (held + step > 0)
            {
                string name = category.ToString();
                rows.Add([char.ToLowerInvariant(name[0]) + name[1..], Words.Count(held), Words.Count(step), Words.Bytes(held + step)]);
            }
        }

        rows.Add(["all", Words.Count(plan.Memory.Persistent.Total), Words.Count(plan.Memory.StepPeak.Total), Words.Bytes(plan.Memory.Peak)]);
        console.Out.WriteLine(Words.Table(["memory", "between steps, bytes", "at a step's peak, bytes", "together"], rows));
        console.Out.WriteLine($"peak {Words.Count(plan.Memory.Peak)} bytes in arenas; the process itself takes some 100 MiB more");
        string size = $"a step is {Words.Number(plan.FlopsPerStep / 1e9, "0.0")} GFLOP";
        console.Out.WriteLine(double.IsNaN(rate)
            ? $"{size}, {plan.Steps} steps: {Words.Number(plan.Steps * plan.FlopsPerStep / 1e12, "0.0")} TFLOP; the time is for the card to say, which is not here"
            : $"{size}: at least {Words.Duration(plan.FlopsPerStep / rate)} at the {Words.Number(rate / 1e9, "0")} GFLOP/s of matrix products here; "
                + $"{plan.Steps} steps: {Words.Duration(plan.Steps * plan.FlopsPerStep / rate)}");
        if (limit is { } most)
        {
            console.Out.WriteLine(plan.Memory.Peak <= most ? $"fits into {Words.Bytes(most)}"
                : change is null ? $"does not fit into {Words.Bytes(most)}, and no single change makes it fit: take a smaller model"
                : $"does not fit into {Words.Bytes(most)}; the cheapest change that does, with {Words.Bytes(change.Peak)}: {change.What}, "
                    + $"by {string.Join(" ", change.Overrides.Select(o => "--set " + o))}");
        }
    }

    private static void WriteJson(ToolConsole console, RunPlan plan, double rate, long? limit, PlanChange? change)
    {
        JsonLines.Write(console.Out, "planned", json =>
        {
            json.WriteNumber("peak_bytes", plan.Memory.Peak);
            Categories(json, "persistent_bytes", plan.Memory.Persistent);
            Categories(json, "step_bytes", plan.Memory.StepPeak);
            json.WriteNumber("steps", plan.Steps);
            json.Number("flops_per_step", plan.FlopsPerStep);
            json.Number("flops_per_second", rate);
            json.Number("seconds_per_step", plan.FlopsPerStep / rate);
            if (limit is { } most)
            {
                json.WriteNumber("limit_bytes", most);
                json.WriteBoolean("fits", plan.Memory.Peak <= most);
                if (change is not null)
                {
                    json.WriteStartObject("change");
                    json.WriteString("what", change.What);
                    json.WriteNumber("peak_bytes", change.Peak);
                    json.WriteStartArray("set");
                    foreach (string value in change.Overrides)
                    {
                        json.WriteStringValue(value);
                    }

                    json.WriteEndArray();
                    json.WriteEndObject();
                }
            }
        });
    }

    private static void Categories(Utf8JsonWriter json, string name, MemoryUse use)
    {
        json.WriteStartObject(name);
        foreach (MemoryCategory category in Enum.GetValues<MemoryCategory>())
        {
            string key = category.ToString();
            json.WriteNumber(char.ToLowerInvariant(key[0]) + key[1..], use[category]);
        }

        json.WriteEndObject();
    }
}
