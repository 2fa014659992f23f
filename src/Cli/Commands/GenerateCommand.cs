using System.CommandLine;
using Graft.Cli.Output;
using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Runtime;
using Graft.Training.Data;
using Graft.Training.Runs;

namespace Graft.Cli.Commands;

/// <summary>`graft generate`: continues a prompt and writes the text as it comes.</summary>
internal static class GenerateCommand
{
    private const int DefaultNewTokens = 128;

    public static Command Create(ToolConsole console)
    {
        Argument<string> target = CommonOptions.Target();
        Option<string[]> adapters = CommonOptions.Adapters();
        Option<string?> prompt = new("--prompt")
        {
            Description = "The prompt; read from the input if not given. With a run file it is put into data.prompt_format.",
        };
        Sampling sampling = new();
        Option<string[]> set = CommonOptions.Set();
        Option<string> dtype = CommonOptions.DType();
        Option<string?> tokenizer = CommonOptions.Tokenizer();
        Option<int> threads = CommonOptions.Threads();
        Option<string?> place = CommonOptions.Device();
        Option<bool> json = CommonOptions.Json();
        Command command = new("generate", "Continues a prompt.") { target, adapters, prompt, set, dtype, tokenizer, threads, place, json };
        sampling.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            string given = parsed.GetRequiredValue(target);
            RunFile? run = CommonOptions.IsRunFile(given) ? RunFile.Load(given, parsed.GetValue(set)) : null;
            if (run is null && parsed.GetValue(set) is { Length: > 0 })
            {
                throw new UsageException("--set changes a run file, and none was given.");
            }

            using Device device = console.Open(
                parsed.GetValue(place) ?? run?.Training.Device ?? "cpu",
                run is not null && parsed.GetValue(threads) == 0 ? run.Training.Threads : parsed.GetValue(threads));
            using LoadedModel model = run is null
                ? LoadedModel.Load(given, device, parsed.GetRequiredValue(dtype), parsed.GetValue(tokenizer))
                : LoadedModel.Load(run.Model.Path, device, run.Model.DType, run.Model.Tokenizer, activations: run.Model.Activations);
            foreach (string adapter in parsed.GetValue(adapters) ?? [])
            {
                _ = model.AddAdapter(adapter);
            }

            string text = parsed.GetValue(prompt) ?? (await console.In.ReadToEndAsync(cancellation).ConfigureAwait(false)).TrimEnd('\n', '\r');
            int[] ids = run is null
                ? (model.Tokenizer ?? throw new ConfigurationException($"{given}: has no tokenizer; name one with --tokenizer.")).EncodeIds(text)
                : [.. new SampleFramer(model.Encoder, run.Data.Dataset.Framing).EncodePrompt(text)];
            GenerationConfig config = sampling.Read(parsed, Start(model, run));
            using Generator generator = new(model.Model, model.Tokenizer, device)
            {
                Adapters = model.Active,
                Random = new Rng((ulong)parsed.GetValue(sampling.Seed)),
                StopSequences = parsed.GetValue(sampling.Stop) ?? [],
            };
            await Write(console, generator, ids, config, parsed.GetValue(json), cancellation).ConfigureAwait(false);
            return ExitCode.Ok;
        });
        return command;
    }

    private static GenerationConfig Start(LoadedModel model, RunFile? run)
    {
        GenerationConfig config = model.Pretrained.Generation with { EosTokenIds = new ValueList<int>(model.EndTokens) };
        return run is null ? config with { MaxNewTokens = config.MaxNewTokens ?? DefaultNewTokens } : config with
        {
            MaxNewTokens = run.Generation.MaxNewTokens,
            DoSample = run.Generation.Temperature > 0,
            Temperature = run.Generation.Temperature > 0 ? run.Generation.Temperature : 1,
            TopK = run.Generation.TopK,
            TopP = run.Generation.TopP,
        };
    }

    private static async Task Write(ToolConsole console, Generator generator, int[] ids, GenerationConfig config, bool json, CancellationToken cancellation)
    {
        System.Text.StringBuilder whole = new();
        await foreach (string piece in generator.StreamAsync(ids, config, cancellation).ConfigureAwait(false))
        {
            _ = whole.Append(piece);
            if (!json)
            {
                await console.Out.WriteAsync(piece).ConfigureAwait(false);
                await console.Out.FlushAsync(cancellation).ConfigureAwait(false);
            }
        }

        if (json)
        {
            JsonLines.Write(console.Out, "generated", line =>
            {
                line.WriteString("text", whole.ToString());
                line.WriteNumber("prompt_tokens", ids.Length);
            });
        }
        else
        {
            await console.Out.WriteLineAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The options that say how tokens are chosen.</summary>
    private sealed class Sampling
    {
        private readonly Option<int?> _maxNewTokens = new("--max-new-tokens") { Description = "Most tokens of the text." };
        private readonly Option<double?> _temperature = new("--temperature") { Description = "Randomness; 0 always takes the likeliest token." };
        private readonly Option<int?> _topK = new("--top-k") { Description = "Choose among the so many likeliest tokens; 0 among all." };
        private readonly Option<double?> _topP = new("--top-p") { Description = "Choose among the likeliest tokens that together have this probability." };
        private readonly Option<double?> _minP = new("--min-p") { Description = "Choose among tokens of at least this part of the best one's probability." };
        private readonly Option<double?> _penalty = new("--repetition-penalty") { Description = "Above 1 makes tokens that were there less likely." };

        public Option<string[]> Stop { get; } = new("--stop") { Description = "A text that ends the generation. May be given several times." };

        public Option<long> Seed { get; } = new("--seed") { Description = "Seed of the draws.", DefaultValueFactory = _ => 42 };

        public void AddTo(Command command)
        {
            foreach (Option option in new Option[] { _maxNewTokens, _temperature, _topK, _topP, _minP, _penalty, Stop, Seed })
            {
                command.Options.Add(option);
            }
        }

        public GenerationConfig Read(ParseResult parsed, GenerationConfig start)
        {
            bool filters = parsed.GetValue(_topK) is not null || parsed.GetValue(_topP) is not null || parsed.GetValue(_minP) is not null;
            double? temperature = parsed.GetValue(_temperature);
            return start with
            {
                MaxNewTokens = parsed.GetValue(_maxNewTokens) is { } most ? Range(most, most >= 1, "--max-new-tokens", "1 or more") : start.MaxNewTokens,
                DoSample = temperature is { } given ? Range(given, given >= 0, "--temperature", "0 or more") > 0 : start.DoSample || filters,
                Temperature = temperature is > 0 ? temperature.Value : start.Temperature,
                TopK = parsed.GetValue(_topK) is { } k ? Range(k, k >= 0, "--top-k", "0 or more") : start.TopK,
                TopP = parsed.GetValue(_topP) is { } p ? Range(p, p is > 0 and <= 1, "--top-p", "above 0 and at most 1") : start.TopP,
                MinP = parsed.GetValue(_minP) is { } min ? Range(min, min is >= 0 and <= 1, "--min-p", "from 0 to 1") : start.MinP,
                RepetitionPenalty = parsed.GetValue(_penalty) is { } penalty
                    ? Range(penalty, penalty > 0, "--repetition-penalty", "above 0")
                    : start.RepetitionPenalty,
            };
        }

        private static T Range<T>(T value, bool isValid, string option, string allowed)
        {
            return isValid ? value : throw new UsageException($"{option} is {value}; allowed: {allowed}.");
        }
    }
}
