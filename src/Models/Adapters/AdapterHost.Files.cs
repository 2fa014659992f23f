using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Models.Checkpoints;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Adapters;

/// <summary>How an adapter is read.</summary>
public sealed record AdapterLoadOptions
{
    /// <summary>True where the base at hand is the one that the adapter's initialisation (PiSSA, OLoRA, CorDA, LoRA-GA) has changed already: the adapter is
    /// then a plain LoRA on it.</summary>
    public bool BaseHoldsResidual { get; init; }

    /// <summary>False for inference: nothing of the adapter is recorded or gets gradients.</summary>
    public bool Trainable { get; init; } = true;
}

public sealed partial class AdapterHost
{
    private const string WeightsName = "adapter_model.safetensors";
    private const string PickleName = "adapter_model.bin";
    private const string Prefix = "base_model.";
    private const string ModelPrefix = "base_model.model.";

    // PEFT saves a table or head by these names beside its adapter, in case it was resized.
    private static readonly string[] s_savedTables = ["embed_tokens", "lm_head"];

    /// <summary>Reads an adapter in PEFT's format, strictly: every tensor exactly once, all that does not fit reported together. F16 and BF16 are widened to
    /// F32.</summary>
    /// <param name="folder">Holds adapter_config.json and adapter_model.safetensors.</param>
    /// <param name="name">Its name here; null takes the folder's.</param>
    /// <param name="options">How to read it.</param>
    /// <exception cref="CheckpointException">A file is missing, broken, of a type that is not built, or does not fit the model. Nothing is attached
    /// then.</exception>
    public AttachedAdapter Load(string folder, string? name = null, AdapterLoadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        options ??= new AdapterLoadOptions();
        name ??= Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));
        List<string> warnings = [];
        AdapterConfig config = ReadConfig(folder, options, warnings);
        using SafeTensorsFile file = OpenWeights(folder);
        List<string> problems = [];
        AttachedAdapter attached;
        try
        {
            AdapterRow row = AdapterTable.Of(config, Methods);
            attached = Build(name, config, new Rng(0), row.RankTensors.Count == 0 ? _ => null : module => RankInFile(file, config, row, module, problems));
        }
        catch (ConfigurationException e)
        {
            throw new CheckpointException($"{folder}: {e.Message}", e);
        }

        try
        {
            Fill(attached, file, problems);
        }
        catch
        {
            _ = _adapters.Remove(attached);
            Undo(attached);
            throw;
        }

        Ready(attached);
        if (!options.Trainable)
        {
            SetTrainable(name, false);
        }

        string[] modules = [.. _linears.Select(l => l.Name), .. _embeddings.Select(e => e.Name)];
        warnings.AddRange(config.TargetModules.Names.Where(n => !modules.Any(m => m == n || ModulePattern.EndsWith(m, n)))
            .Select(n => $"{folder}: the target '{n}' matches no module of the model."));
        attached.Warnings = warnings;
        return attached;
    }

    /// <summary>Writes an adapter in PEFT's format, tensors as F32, all or nothing; methods that PEFT does not know get a file of ours beside it for
    /// resuming.</summary>
    /// <exception cref="ConfigurationException">The adapter cannot be read back in this form; says which form can.</exception>
    public void Save(string name, string folder)
    {
        AttachedAdapter attached = Unmerged(name);
        if (attached.Row.CannotSave(attached.Config) is { } reason)
        {
            throw new ConfigurationException($"adapter '{name}' ({attached.Row.Name}) cannot be saved as it is: {reason}.");
        }

        JsonObject? native = null;
        if (attached.Row.WriteNative is { } write)
        {
            native = new JsonObject { ["method"] = attached.Row.Name };
            write(attached.Config, native);
        }

        List<TensorSource> tensors = [.. Entries(attached).DistinctBy(e => e.Name).Select(e => TensorSource.Of(e.Name, e.Parameter.Value))];
        tensors.AddRange(SavedTables(attached).Select(e => TensorSource.Of(e.Name, e.Weight.Value)));
        WriteFolder(folder, PeftConfig.Write(attached.Config, attached.Modules, InputFirst(attached), Methods), native, tensors);
    }

    /// <summary>Writes the adapter as a plain LoRA for the base as it was before: what any reader of LoRA files can load.</summary>
    /// <exception cref="NotMergeableException">The method is no LoRA on any base (DoRA, the affine form of MiSS, a bias within LoRA).</exception>
    public void SavePlain(string name, string folder)
    {
        AttachedAdapter attached = Unmerged(name);
        List<TensorSource> tensors = [];
        List<(string Module, LoraFactors Factors)> plain = [];
        HashSet<Parameter> replaced = [.. attached.Group.Shared.Select(p => p.Parameter)];
        foreach ((Linear layer, IAdapter adapter) in attached.OnLinears
            .Where(p => attached.Modules.Contains(p.Layer.Name) && p.Adapter is not SavedLinear and not TokenRowsHead))
        {
            LoraFactors factors = adapter.ToLora()
                ?? throw new NotMergeableException($"adapter '{name}': {attached.Row.Name} on '{layer.Name}' has no form as a plain LoRA. Save it "
                    + "in its own form, or merge it into the base.");
            plain.Add((layer.Name, factors));
            replaced.UnionWith(adapter.Parameters.Select(p => p.Parameter));
            tensors.Add(TensorSource.Of<float>($"{ModelPrefix}{layer.Name}.lora_A.weight", new Shape(factors.Rank, layer.In), factors.A));
            tensors.Add(TensorSource.Of<float>($"{ModelPrefix}{layer.Name}.lora_B.weight", new Shape(layer.Out, factors.Rank), factors.B));
        }

        if (attached.OnEmbeddings.Exists(p => attached.Modules.Contains(p.Table.Name) && p.Adapter is not LoraEmbedding))
        {
            throw new NotMergeableException($"adapter '{name}': {attached.Row.Name} on a table has no form as a plain LoRA.");
        }

        tensors.AddRange(Entries(attached).Where(e => !replaced.Contains(e.Parameter.Parameter)).DistinctBy(e => e.Name)
            .Select(e => TensorSource.Of(e.Name, e.Parameter.Value)));
        tensors.AddRange(SavedTables(attached).Select(e => TensorSource.Of(e.Name, e.Weight.Value)));
        (int rank, double alpha) = plain.Count == 0 ? (attached.Config.Rank, attached.Config.Alpha)
            : (plain[0].Factors.Rank, plain[0].Factors.Scale * plain[0].Factors.Rank);
        LoraConfig config = new LoraConfig().WithCommon(attached.Config) with
        {
            Rank = rank,
            Alpha = alpha,
            RankPattern = Exceptions(plain.Where(p => p.Factors.Rank != rank).Select(p => (p.Module, (double)p.Factors.Rank))),
            AlphaPattern = Exceptions(plain.Where(p => p.Factors.Scale * p.Factors.Rank != alpha).Select(p => (p.Module, p.Factors.Scale * p.Factors.Rank))),
            Dropout = 0,
        };
        WriteFolder(folder, PeftConfig.Write(config, attached.Modules, InputFirst(attached)), null, tensors);
    }

    // The tables that are saved beside an adapter are the base's own, not merged ones.
    private AttachedAdapter Unmerged(string name)
    {
        return _merged is null ? this[name] : throw new ConfigurationException($"{string.Join(", ", _merged.Names)} are merged into the base; "
            + $"unmerge them before saving '{name}'.");
    }

    private AdapterConfig ReadConfig(string folder, AdapterLoadOptions options, List<string> warnings)
    {
        string file = Path.Combine(folder, PeftConfig.FileName);
        if (!File.Exists(file))
        {
            throw new CheckpointException($"{folder}: there is no {PeftConfig.FileName}; an adapter folder holds it beside {WeightsName}.");
        }

        string nativeFile = Path.Combine(folder, PeftConfig.NativeFileName);
        using JsonDocument json = JsonFile.Read(file);
        using JsonDocument? native = File.Exists(nativeFile) ? JsonFile.Read(nativeFile) : null;
        try
        {
            return PeftConfig.Parse(json.RootElement, file, warnings, native?.RootElement, options.BaseHoldsResidual, Methods);
        }
        catch (ConfigurationException e)
        {
            throw new CheckpointException($"{file}: {e.Message}", e);
        }
    }

    private static SafeTensorsFile OpenWeights(string folder)
    {
        string file = Path.Combine(folder, WeightsName);
        return File.Exists(file) ? SafeTensorsFile.Open(file)
            : File.Exists(Path.Combine(folder, PickleName))
                ? throw new CheckpointException($"{folder}: the weights are a pickle ({PickleName}), which can run code when read, so it is not. "
                    + "Save the adapter again with safetensors.")
            : throw new CheckpointException($"{folder}: there is no {WeightsName}.");
    }

    // A tensor's own length is taken for its rank, so that a wrong number in the configuration asks for no memory. Without patterns it must be the
    // configuration's; with them the file's order may not be the one of creation, so shapes decide.
    private static int RankInFile(SafeTensorsFile file, AdapterConfig config, AdapterRow row, string module, List<string> problems)
    {
        foreach (string key in row.RankTensors)
        {
            string name = $"{ModelPrefix}{module}.{key}";
            if (file.Tensors.TryGetValue(name, out TensorEntry? entry) && RankOf(entry.Shape) is > 0 and int rank)
            {
                if (config.RankPattern.Count == 0 && rank != config.Rank)
                {
                    problems.Add($"'{name}' {entry.Shape} has the rank {rank}, the configuration says {config.Rank}");
                }

                return rank;
            }
        }

        // Missing, which is reported where all are read.
        int largest = file.Tensors.Where(t => row.RankTensors.Any(k => t.Key.EndsWith(k, StringComparison.Ordinal)))
            .Select(t => RankOf(t.Value.Shape)).DefaultIfEmpty(1).Max();
        return Math.Min(config.RankOf(module), Math.Max(1, largest));
    }

    // Blocks (blocks, R, R) have the rank second, everything else first.
    private static int RankOf(Shape shape) => shape.Rank == 0 ? 0 : shape[shape.Rank == 3 ? 1 : 0];

    private static void Fill(AttachedAdapter attached, SafeTensorsFile file, List<string> problems)
    {
        HashSet<string> used = [];
        Dictionary<Parameter, float[]> values = [];
        foreach ((string asWritten, AdapterParameter parameter) in Entries(attached))
        {
            string name = NameIn(file, asWritten, parameter);
            _ = used.Add(name);
            Read(file, name, parameter.Parameter, values, problems);
        }

        Dictionary<Parameter, float[]> tables = [];
        foreach ((string name, Parameter weight) in SavedTables(attached).Where(e => file.Tensors.ContainsKey(e.Name)))
        {
            _ = used.Add(name);
            Read(file, name, weight, tables, problems);
        }

        problems.AddRange(file.Tensors.Keys.Where(n => !used.Contains(n)).Select(n => $"'{n}' belongs to nothing that the configuration adapts"));
        if (problems.Count > 0)
        {
            string trainedOn = attached.Config.BaseModel is { Length: > 0 } model ? $" Was it trained on another base? ({PeftConfig.FileName} says "
                + $"{model})" : "";
            throw new CheckpointException($"{file.Path}: adapter '{attached.Name}': {problems.Count} tensors do not fit: "
                + $"{MessageList.Join(problems)}.{trainedOn}");
        }

        foreach ((Parameter parameter, float[] elements) in values)
        {
            Store(parameter, elements);
        }

        foreach ((Parameter weight, float[] elements) in tables.Where(t => !SameAs(t.Key, t.Value)))
        {
            attached.OfBase.Add((new AdapterParameter("base_layer.weight", weight, AdapterRole.Module), new SavedBits(weight), weight.Trainable));
            Store(weight, elements);
        }
    }

    private static void Read(SafeTensorsFile file, string name, Parameter parameter, Dictionary<Parameter, float[]> values, List<string> problems)
    {
        if (!file.Tensors.TryGetValue(name, out TensorEntry? entry))
        {
            problems.Add($"'{name}' {parameter.Shape} is missing");
        }
        else if (entry.Shape != parameter.Shape)
        {
            problems.Add($"'{name}' has the shape {entry.Shape}, model and configuration ask for {parameter.Shape}");
        }
        else if (entry.TypeName is not ("F32" or "F16" or "BF16" or "F64"))
        {
            problems.Add($"'{name}' holds {entry.TypeName}, not floats");
        }
        else
        {
            float[] elements = file.ReadFloats(name);
            int bad = Array.FindIndex(elements, v => !float.IsFinite(v));
            if (bad >= 0)
            {
                problems.Add($"'{name}' holds {elements[bad]} at element {bad}");
            }
            else if (!values.TryAdd(parameter, elements) && !values[parameter].AsSpan().SequenceEqual(elements))
            {
                problems.Add($"'{name}' differs from the tensor that it is tied to");
            }
        }
    }

    /// <summary>Every tensor with its name on disk; a parameter tied between modules appears under each name.</summary>
    internal static IEnumerable<(string Name, AdapterParameter Parameter)> Entries(AttachedAdapter attached)
    {
        return attached.OnLinears.SelectMany(p => p.Adapter.Parameters)
            .Concat(attached.OnEmbeddings.SelectMany(p => p.Adapter.Parameters))
            .Concat(attached.Group.Shared)
            .Concat(attached.OfBase.Select(p => p.Parameter).Where(p => p.Key != "base_layer.weight"))
            .Select(p => (p.Module.Length == 0 ? Prefix + p.Key : $"{ModelPrefix}{p.Module}.{p.Key}", p));
    }

    private static IEnumerable<(string Name, Parameter Weight)> SavedTables(AttachedAdapter attached)
    {
        IEnumerable<(string Name, Parameter? Weight)> all = attached.OnEmbeddings.Select(p => (p.Table.Name, p.Table.Parameter))
            .Concat(attached.OnLinears.Select(p => (p.Layer.Name, p.Layer.Weight.Parameter)));
        return all.Where(e => e.Weight is not null && attached.Modules.Contains(e.Name) && s_savedTables.Contains(e.Name[(e.Name.LastIndexOf('.') + 1)..]))
            .Select(e => ($"{ModelPrefix}{e.Name}.base_layer.weight", e.Weight!));
    }

    // Releases before 2026 named the bias of an adapted layer as if it were not adapted.
    private static string NameIn(SafeTensorsFile file, string name, AdapterParameter parameter)
    {
        string older = $"{ModelPrefix}{parameter.Module}.bias";
        return parameter.Key == "base_layer.bias" && !file.Tensors.ContainsKey(name) && file.Tensors.ContainsKey(older) ? older : name;
    }

    private static bool InputFirst(AttachedAdapter attached) => attached.OnLinears.Exists(p => p.Layer.Weight is DenseWeight { InputFirst: true });

    private static bool SameAs(Parameter parameter, float[] values)
    {
        return !parameter.Value.Device.Computes || (parameter.Value.DType == DType.F32
            ? parameter.Value.OnHost<float>().SequenceEqual(values)
            : parameter.Value.OnHost<BFloat16>().SequenceEqual(Array.ConvertAll(values, v => (BFloat16)v)));
    }

    private static void Store(Parameter parameter, float[] values)
    {
        if (parameter.Value.DType == DType.F32)
        {
            parameter.Value.CopyFrom<float>(values);
        }
        else
        {
            parameter.Value.CopyFrom<BFloat16>(Array.ConvertAll(values, v => (BFloat16)v));
        }
    }

    private static void WriteFolder(string folder, string config, JsonObject? native, List<TensorSource> tensors)
    {
        ArgumentNullException.ThrowIfNull(folder);
        using AtomicDirectory target = AtomicDirectory.Create(folder);
        SafeTensorsWriter.Write(Path.Combine(target.Temporary, WeightsName), tensors);
        File.WriteAllText(Path.Combine(target.Temporary, PeftConfig.FileName), config);
        if (native is not null)
        {
            File.WriteAllText(Path.Combine(target.Temporary, PeftConfig.NativeFileName), ConfigWriter.Text(native));
        }

        target.Commit();
    }
}
