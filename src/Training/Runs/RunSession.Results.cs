using Graft.Models.Checkpoints;
using Graft.Models.Generation;
using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training.Runs;

/// <summary>A prompt of the evaluation data, what the data says, and what the model says.</summary>
/// <param name="Prompt">As in the data, without the format around it.</param>
/// <param name="Expected">The completion of the data; empty for plain texts.</param>
/// <param name="Text">The completion of the model.</param>
public sealed record RunSample(string Prompt, string Expected, string Text);

public sealed partial class RunSession
{
    // As many lines are looked at for different prompts; data often has several completions of one prompt in a row.
    private const int PromptLines = 4096;

    /// <summary>Completes the prompts that the run file asks for, with the weights as they are now; prompts are spread over the evaluation data.</summary>
    /// <exception cref="OperationCanceledException">The token was cancelled between two tokens.</exception>
    public IEnumerable<RunSample> Generate(CancellationToken cancellation = default)
    {
        if (Run.Data.Eval is not { } file || Run.Generation.Prompts == 0)
        {
            yield break;
        }

        SampleFramer framer = new(Model.Encoder, Run.Data.Dataset.Framing);
        using Generator generator = new(Model.Model, Model.Tokenizer, Device)
        {
            Adapters = Model.Active,
            Random = new Rng(Run.Training.Seed).Stream("generation"),
        };
        foreach ((string prompt, string expected) in Prompts(file))
        {
            int[] ids = Run.Data.Dataset.Jsonl.Format == SampleFormat.PromptCompletion ? [.. framer.EncodePrompt(prompt)] : Model.Tokenizer!.EncodeIds(prompt);
            string text = generator.Generate(ids, Settings(), cancellation).Text;
            yield return new RunSample(prompt, expected, text);
        }
    }

    /// <summary>Writes what training made into the output folder: the adapter (or the whole model), `trainer_state.json`, the resolved run file, and the
    /// merged model where asked for.</summary>
    /// <exception cref="GraftException">A file could not be written; nothing is left half-written under its own name.</exception>
    public void SaveResults()
    {
        string folder = Run.Output.Path;
        _ = Directory.CreateDirectory(folder);
        AtomicFile.WriteText(Path.Combine(folder, "trainer_state.json"), Trainer.State.ToJson());
        AtomicFile.WriteText(Path.Combine(folder, "run.yaml"), Run.Resolved);
        if (Adapter is null)
        {
            Model.Pretrained.Save(Path.Combine(folder, "model"));
            return;
        }

        string adapter = Path.Combine(folder, AdapterName);
        if (Adapter.Row.CannotSave(Adapter.Config) is null)
        {
            Model.Adapters.Save(AdapterName, adapter);
        }
        else
        {
            Model.Adapters.SavePlain(AdapterName, adapter);
        }

        if (Run.Output.Merged)
        {
            Model.Adapters.Merge([AdapterName]);
            try
            {
                Model.Pretrained.Save(Path.Combine(folder, "merged"));
            }
            finally
            {
                Model.Adapters.Unmerge();
            }
        }
    }

    private GenerationConfig Settings() => new()
    {
        DoSample = Run.Generation.Temperature > 0,
        Temperature = Run.Generation.Temperature > 0 ? Run.Generation.Temperature : 1,
        TopK = Run.Generation.TopK,
        TopP = Run.Generation.TopP,
        MaxNewTokens = Run.Generation.MaxNewTokens,
        EosTokenIds = new ValueList<int>(Model.EndTokens),
    };

    private List<(string Prompt, string Expected)> Prompts(string file)
    {
        List<(string Prompt, string Expected)> all = [.. Samples(file).Select(Split).DistinctBy(p => p.Prompt)];
        int count = Math.Min(Run.Generation.Prompts, all.Count);
        return [.. Enumerable.Range(0, count).Select(i => all[(int)((long)i * all.Count / count)])];
    }

    private IEnumerable<DataSample> Samples(string file) => JsonlReader.Read(file, Run.Data.Dataset.Jsonl).Take(PromptLines);

    private static (string Prompt, string Expected) Split(DataSample sample)
    {
        if (sample is PromptSample pair)
        {
            return (pair.Prompt, pair.Completion.Trim());
        }

        // A plain text has no prompt: its first words are one.
        string text = ((TextSample)sample).Text;
        int end = text.IndexOf(' ', Math.Min(text.Length, 32));
        return end < 0 ? (text, "") : (text[..end], text[end..].Trim());
    }
}
