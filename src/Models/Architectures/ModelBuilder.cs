using Graft.Models.Checkpoints;
using Graft.Models.Layers;
using Graft.Runtime;

namespace Graft.Models.Architectures;

/// <summary>Makes a model's modules by the checkpoint's names, and then loads, or draws, all their parameters at once: every tensor is used exactly once, all mismatches are reported together.</summary>
public sealed class ModelBuilder
{
    // Buffers that older files carry besides the weights: causal masks and rotary tables, all of them computed here.
    private static readonly string[] s_buffers = [".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"];

    private readonly Arena _weights;
    private readonly DType _type;
    private readonly List<Parameter> _parameters = [];
    private readonly List<Linear> _linears = [];
    private readonly List<Embedding> _embeddings = [];
    private readonly Dictionary<Parameter, float> _constants = [];
    private readonly List<QuantizedWeight> _quantized = [];
    private readonly ICheckpoint? _stored;

    /// <summary>A builder that puts parameters into an arena.</summary>
    /// <param name="weights">A persistent arena; on the meta device nothing is read.</param>
    /// <param name="type">F32 or BF16, for matrices; vectors are F32.</param>
    /// <param name="activations">F32, or BF16 where the device takes it.</param>
    /// <param name="stored">Matrices that stand in this checkpoint in blocks that products read (<see cref="BlockType"/>) stay so; null for none.</param>
    /// <exception cref="ConfigurationException">The device does not compute on such activations, or not on blocks.</exception>
    public ModelBuilder(Arena weights, DType type, DType activations = DType.F32, ICheckpoint? stored = null)
    {
        ArgumentNullException.ThrowIfNull(weights);
        if (type is not (DType.F32 or DType.BF16))
        {
            throw new DTypeException($"Weights are held as f32 or bf16, not as {type.Name()}.");
        }

        if (!weights.Device.TakesActivations(activations))
        {
            throw new ConfigurationException($"{activations.Name()} activations were asked for on {weights.Device.Name}; there are f32 on the cpu, f32 and bf16 on cuda.");
        }

        if (stored is not null && weights.Device is CudaDevice)
        {
            throw new ConfigurationException($"Quantised weights were asked for on {weights.Device.Name}; they are read on the cpu only. Load them as bf16 or f32.");
        }

        _weights = weights;
        _type = type;
        _stored = stored;
        Activations = activations;
    }

    /// <summary>The type of hidden states.</summary>
    public DType Activations { get; }

    /// <summary>All parameters made, in order.</summary>
    public IReadOnlyList<Parameter> Parameters => _parameters;

    /// <summary>All weights that stay quantised, in order; they are no parameters.</summary>
    public IReadOnlyList<QuantizedWeight> Quantized => _quantized;

    /// <summary>All linear layers made, in order.</summary>
    public IReadOnlyList<Linear> Linears => _linears;

    /// <summary>All tables made, in order.</summary>
    public IReadOnlyList<Embedding> Embeddings => _embeddings;

    /// <summary>A linear layer with parameters `name.weight` and perhaps `name.bias`.</summary>
    /// <param name="name">The module's path.</param>
    /// <param name="inputs">Input width.</param>
    /// <param name="outputs">Output width.</param>
    /// <param name="bias">Whether it has one.</param>
    /// <param name="transposed">True where the file stores (in, out).</param>
    public Linear Linear(string name, int inputs, int outputs, bool bias = false, bool transposed = false)
    {
        IWeight weight = (transposed ? null : Kept(name + ".weight", outputs, inputs))
            ?? (IWeight)new DenseWeight(Add(name + ".weight", transposed ? new Shape(inputs, outputs) : new Shape(outputs, inputs), _type), transposed);
        Linear linear = new(name, weight, bias ? Vector(name + ".bias", outputs, 0) : null);
        _linears.Add(linear);
        return linear;
    }

    /// <summary>A linear layer on the weight of a table: a tied head.</summary>
    public Linear Tied(string name, Embedding table)
    {
        ArgumentNullException.ThrowIfNull(table);
        Linear linear = new(name, table.Quantized ?? (IWeight)new DenseWeight(table.Weight));
        _linears.Add(linear);
        return linear;
    }

    /// <summary>A table (count, width) with the parameter `name.weight`.</summary>
    public Embedding Embedding(string name, int count, int width)
    {
        Embedding table = Kept(name + ".weight", count, width) is { } quantized
            ? new Embedding(name, quantized)
            : new Embedding(name, Add(name + ".weight", new Shape(count, width), _type));
        _embeddings.Add(table);
        return table;
    }

    /// <summary>A vector of F32: a norm's weight, a bias.</summary>
    /// <param name="name">The whole name.</param>
    /// <param name="width">Its length.</param>
    /// <param name="initial">Its elements where nothing is loaded.</param>
    public Parameter Vector(string name, int width, float initial)
    {
        Parameter vector = Add(name, new Shape(width), DType.F32);
        _constants.Add(vector, initial);
        return vector;
    }

    /// <summary>Rotary position embeddings, their table beside the weights.</summary>
    public Rotary Rotary(RotaryOptions options, int maxPositions) => new(_weights, options, maxPositions);

    /// <summary>Reads all parameters; converts to the chosen dtype.</summary>
    /// <param name="checkpoint">Where from.</param>
    /// <param name="prefix">May be missing from the file's names: files of the bare model lack `model.` or `transformer.`.</param>
    /// <param name="tied">Names that may stand in the file although another parameter is used in their place.</param>
    /// <exception cref="CheckpointException">Names all tensors that are missing, surplus or of another shape.</exception>
    public void Load(ICheckpoint checkpoint, string prefix, params ReadOnlySpan<string> tied)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        ArgumentNullException.ThrowIfNull(prefix);
        string[] mayBeLeft = tied.ToArray();
        WeightLoader.Load(
            checkpoint,
            _parameters,
            _quantized,
            name => mayBeLeft.Contains(name) || s_buffers.Any(b => name.EndsWith(b, StringComparison.Ordinal)),
            name => !checkpoint.Tensors.ContainsKey(name) && name.StartsWith(prefix, StringComparison.Ordinal) && checkpoint.Tensors.ContainsKey(name[prefix.Length..])
                ? name[prefix.Length..]
                : name);
    }

    /// <summary>Draws all parameters: matrices from N(0, range²), norms and biases as given. Each takes the stream of its own name.</summary>
    public void Draw(Rng random, float range)
    {
        foreach (Parameter parameter in _parameters)
        {
            if (_constants.TryGetValue(parameter, out float constant))
            {
                parameter.Value.Fill(constant);
                continue;
            }

            Rng stream = random.Stream(parameter.Name);
            if (parameter.Value.DType == DType.F32)
            {
                parameter.Value.WriteOnHost<float>((values, start) => stream.FillNormal(start, values, 0, range));
                continue;
            }

            float[] piece = new float[4096];
            parameter.Value.WriteOnHost<BFloat16>((values, start) =>
            {
                for (int at = 0; at < values.Length; at += piece.Length)
                {
                    int count = Math.Min(piece.Length, values.Length - at);
                    stream.FillNormal(start + at, piece.AsSpan(0, count), 0, range);
                    for (int i = 0; i < count; i++)
                    {
                        values[at + i] = (BFloat16)piece[i];
                    }
                }
            });
        }
    }

    private QuantizedWeight? Kept(string name, int rows, int columns)
    {
        if (_stored is null || !_stored.Tensors.TryGetValue(name, out TensorEntry? entry) || entry.Shape != new Shape(rows, columns))
        {
            return null;
        }

        BlockType type = BlockTypeExtensions.Parse(entry.TypeName);
        if (type == BlockType.None)
        {
            return null;
        }

        QuantizedWeight weight = new(name, _weights.Allocate(type.Stored(rows, columns), DType.U8, MemoryCategory.Weights, name), type, columns);
        _quantized.Add(weight);
        return weight;
    }

    private Parameter Add(string name, Shape shape, DType type)
    {
        Parameter parameter = new(name, _weights.Allocate(shape, type, MemoryCategory.Weights, name));
        _parameters.Add(parameter);
        return parameter;
    }
}
