namespace Graft.Runtime;

/// <summary>The half of an op that every op has: shape rules, the reference and the CPU kernel. A struct: the value holds the arguments, static members the behaviour.</summary>
/// <typeparam name="TSelf">The op itself.</typeparam>
public interface IForwardOp<TSelf>
    where TSelf : struct, IForwardOp<TSelf>
{
    /// <summary>Name, number of inputs, source.</summary>
    static abstract OpInfo Info { get; }

    /// <summary>Checks shapes and dtypes of the inputs (all errors of the op are raised here) and declares outputs, saved tensors and workspace. Runs on every device.</summary>
    static abstract void Infer(in TSelf op, ref InferCall c);

    /// <summary>The same maths from primitive ops: the oracle of the tests (they run it in F64) and the way on a device that has no kernel. Primitive ops return their own result.</summary>
    static abstract Tensor Reference(in TSelf op, Tape t, ReadOnlySpan<Tensor> x);

    /// <summary>Computes every element of the outputs and saved tensors on the CPU.</summary>
    static abstract void Forward(in TSelf op, CpuCall c);

    /// <summary>The same on a CUDA device. An op without kernels of its own runs <see cref="Reference"/> there, if that is made of other ops, has one output and saves nothing.</summary>
    static virtual void Forward(in TSelf op, CudaCall c) => CudaFallback.Run(in op, c);

    /// <summary>What a run moves and computes, for profiles; every tensor once unless the op knows better.</summary>
    static virtual OpCost Cost(in TSelf op, CostCall c) => c.Once();
}

/// <summary>An op with a gradient.</summary>
/// <typeparam name="TSelf">The op itself.</typeparam>
public interface IOp<TSelf> : IForwardOp<TSelf>
    where TSelf : struct, IOp<TSelf>
{
    /// <summary>What <see cref="Backward"/> reads, given which inputs need a gradient; what is not named here is gone by then.</summary>
    static abstract Saves Saves(in TSelf op, Needs needs);

    /// <summary>Adds to the gradients of the inputs that need one. Must not write the output's gradient.</summary>
    static abstract void Backward(in TSelf op, BackwardCall c);
}

/// <summary>An op without a gradient: <see cref="Tape.Evaluate{TOp}"/> throws where an input requires one, so that none is lost silently.</summary>
/// <typeparam name="TSelf">The op itself.</typeparam>
public interface INonDifferentiableOp<TSelf> : IForwardOp<TSelf>
    where TSelf : struct, INonDifferentiableOp<TSelf>
{
}

/// <summary>A function made of other ops with a backward of its own, on any device: where the gradient is not the derivative (ALLoRA), a value counts as constant (DoRA's norm), or less need be saved.</summary>
/// <typeparam name="TSelf">The op itself.</typeparam>
public interface ICompositeOp<TSelf>
    where TSelf : struct, ICompositeOp<TSelf>
{
    /// <summary>Name, number of inputs, source.</summary>
    static abstract OpInfo Info { get; }

    /// <summary>The result, by ops on <see cref="CompositeCall.Tape"/>, which records nothing.</summary>
    static abstract Tensor Forward(in TSelf op, CompositeCall c);

    /// <summary>What <see cref="Backward"/> reads; tensors given to <see cref="CompositeCall.Save"/> are the extras in that order.</summary>
    static abstract Saves Saves(in TSelf op, Needs needs);

    /// <summary>Adds to the gradients of the inputs that need one, by ops on <see cref="BackwardCall.Tape"/>.</summary>
    static abstract void Backward(in TSelf op, BackwardCall c);
}
