using System.Runtime.CompilerServices;

namespace Graft.Runtime;

public sealed partial class Tape
{
    private void Forward<TOp>(in TOp op, ReadOnlySpan<Tensor> inputs, Needs needs, ref Results results)
        where TOp : struct, IForwardOp<TOp>
    {
        if (Profile is null)
        {
            Execute(in op, inputs, needs, ref results);
            return;
        }

        using ProfileSpan span = ProfileSpan.Open(Profile, OpInfoOf<TOp>.Value.Name, ProfilePhase.Forward);
        Execute(in op, inputs, needs, ref results);
        span.Moves(TOp.Cost(in op, new CostCall(inputs, results.OutputArray(), results.ExtraArray(), needs)));
    }

    private void Execute<TOp>(in TOp op, ReadOnlySpan<Tensor> inputs, Needs needs, ref Results results)
        where TOp : struct, IForwardOp<TOp>
    {
        OpInfo info = OpInfoOf<TOp>.Value;
        SpecBuffer outputSpecs = default;
        SpecBuffer extraSpecs = default;
        foreach (Tensor input in inputs)
        {
            if (input.Device != Device)
            {
                throw new GraftException($"{info.Name}: {input} lies on {input.Device.Name}, but the tape runs on {Device.Name}.");
            }
        }

        InferCall infer = new(info, inputs, outputSpecs, extraSpecs, needs, Device.Plans);
        TOp.Infer(in op, ref infer);
        results.OutputCount = infer.OutputCount;
        results.ExtraCount = infer.SavedCount;
        Tensor? workspace;
        try
        {
            workspace = Take(ref results, outputSpecs, extraSpecs, infer.WorkspaceBytes);
        }
        catch (OutOfDeviceMemoryException e)
        {
            throw e.During(info.Name);
        }

        if (Device is CpuDevice cpu)
        {
            ReadOnlySpan<Tensor> outputs = ((Span<Tensor>)results.Outputs)[..results.OutputCount];
            ReadOnlySpan<Tensor> extras = ((Span<Tensor>)results.Extras)[..results.ExtraCount];
            TOp.Forward(in op, new CpuCall(cpu, inputs, outputs, extras, workspace, needs));
        }
        else if (Device is CudaDevice cuda)
        {
            ReadOnlySpan<Tensor> outputs = ((Span<Tensor>)results.Outputs)[..results.OutputCount];
            ReadOnlySpan<Tensor> extras = ((Span<Tensor>)results.Extras)[..results.ExtraCount];
            TOp.Forward(in op, new CudaCall(cuda, inputs, outputs, extras, workspace, needs, Arena));
        }

        workspace?.Disown();
    }

    private Tensor? Take(ref Results results, in SpecBuffer outputs, in SpecBuffer extras, long workspaceBytes)
    {
        for (int i = 0; i < results.OutputCount; i++)
        {
            results.Outputs[i] = Arena.Allocate(outputs[i].Shape, outputs[i].DType, MemoryCategory.Activations);
        }

        for (int i = 0; i < results.ExtraCount; i++)
        {
            results.Extras[i] = Arena.Allocate(extras[i].Shape, extras[i].DType, MemoryCategory.Activations);
        }

        return workspaceBytes == 0 ? null : Arena.Scratch(workspaceBytes);
    }

    private static void DropExtras(ref Results results)
    {
        for (int i = 0; i < results.ExtraCount; i++)
        {
            results.Extras[i].Disown();
        }
    }

    [InlineArray(InferCall.Limit)]
    private struct SpecBuffer
    {
        private TensorSpec _first;
    }

    [InlineArray(InferCall.Limit)]
    private struct TensorBuffer
    {
        private Tensor _first;
    }

    private struct Results
    {
        public TensorBuffer Outputs;
        public TensorBuffer Extras;
        public int OutputCount;
        public int ExtraCount;

        public readonly Tensor[] OutputArray() => ((ReadOnlySpan<Tensor>)Outputs)[..OutputCount].ToArray();

        public readonly Tensor[] RestArray() => OutputCount <= 1 ? [] : ((ReadOnlySpan<Tensor>)Outputs)[1..OutputCount].ToArray();

        public readonly Tensor[] ExtraArray() => ExtraCount == 0 ? [] : ((ReadOnlySpan<Tensor>)Extras)[..ExtraCount].ToArray();
    }
}
