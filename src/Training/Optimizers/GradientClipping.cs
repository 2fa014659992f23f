using System.Numerics;
using System.Numerics.Tensors;
using Graft.Runtime;
using Graft.Training.Numerics;
using Tensor = Graft.Runtime.Tensor;

namespace Graft.Training.Optimizers;

/// <summary>Which norm.</summary>
public enum NormOrder
{
    /// <summary>√Σ g².</summary>
    L2,

    /// <summary>Σ |g|.</summary>
    L1,

    /// <summary>The largest |g|.</summary>
    Infinity,
}

/// <summary>Gradients made smaller before the update. Definitions of PyTorch (torch/nn/utils/clip_grad.py).</summary>
public static class GradientClipping
{
    /// <summary>The norm over all gradients of trained parameters as one vector; parameters without a gradient do not count. Sums in F64, the same on any
    /// number of threads.</summary>
    public static double GlobalNorm(NormOrder order, params ReadOnlySpan<ParameterSet> sets)
    {
        double total = 0;
        foreach (ParameterSet set in sets)
        {
            set.MaskGradients();
            if (set.Arena.Device.Plans == DeviceKind.Cuda)
            {
                double whole = DeviceGradients.Norm(set, order);
                total = order == NormOrder.Infinity ? Math.Max(total, whole) : total + whole;
                continue;
            }

            foreach (ParameterEntry entry in set.Active)
            {
                if (entry.Parameter.HasGradient)
                {
                    double part = Part(entry, order);
                    total = order == NormOrder.Infinity ? Math.Max(total, part) : total + part; // NaN stays NaN in both
                }
            }
        }

        return order == NormOrder.L2 ? Math.Sqrt(total) : total;
    }

    /// <summary>What gradients of that norm are multiplied by: min(1, limit / (norm + 1e-6)); NaN where the norm is.</summary>
    public static float Coefficient(double limit, double norm) => (float)Math.Min(1, limit / (norm + 1e-6));

    /// <summary>Multiplies all gradients by <see cref="Coefficient"/>. <see cref="Optimizer.Update(float)"/> does so in passing.</summary>
    /// <returns>The norm before.</returns>
    public static double ByNorm(double limit, NormOrder order, params ReadOnlySpan<ParameterSet> sets)
    {
        double norm = GlobalNorm(order, sets);
        float coefficient = Coefficient(limit, norm);
        if (coefficient < 1)
        {
            Scale(coefficient, sets);
        }

        return norm;
    }

    /// <summary>Limits every element of every gradient to [-limit, limit].</summary>
    public static void ByValue(double limit, params ReadOnlySpan<ParameterSet> sets)
    {
        ForEach(sets, new Clamp { Limit = (float)limit });
    }

    /// <summary>Multiplies all gradients.</summary>
    public static void Scale(float factor, params ReadOnlySpan<ParameterSet> sets) => ForEach(sets, new Multiply { Factor = factor });

    private static void ForEach<TWork>(ReadOnlySpan<ParameterSet> sets, TWork work)
        where TWork : struct, IGradientWork
    {
        foreach (ParameterSet set in sets)
        {
            if (set.Arena.Device is CudaDevice device)
            {
                foreach (Tensor range in DeviceGradients.Ranges(set))
                {
                    work.Run(device, range);
                }

                continue;
            }

            foreach (ParameterEntry entry in set.Active)
            {
                if (entry.Parameter is { HasGradient: true, Gradient: { Device.IsHost: true } gradient })
                {
                    work.Gradient = FlatAddress<float>.Of(gradient);
                    FlatWork.Run(gradient.Device, (int)entry.Count, work);
                }
            }
        }
    }

    private static double Part(ParameterEntry entry, NormOrder order)
    {
        Tensor gradient = entry.Parameter.Gradient!;
        if (!gradient.Device.IsHost)
        {
            return 0; // meta
        }

        NormPart part = new() { Gradient = FlatAddress<float>.Of(gradient), Order = order };
        return FlatWork.Sum(gradient.Device, (int)entry.Count, part, largest: order == NormOrder.Infinity);
    }

    private interface IGradientWork : IFlatWork
    {
        FlatAddress<float> Gradient { set; }

        void Run(CudaDevice device, Tensor gradient);
    }

    private struct Clamp : IGradientWork
    {
        public float Limit;

        public FlatAddress<float> Gradient { get; set; }

        public readonly void Run(CudaDevice device, Tensor gradient) => FlatKernels.Clamp(device, gradient, Limit);

        public readonly void Invoke(int start, int count)
        {
            foreach (ref float value in Gradient.Span(start, count))
            {
                value = Math.Clamp(value, -Limit, Limit);
            }
        }
    }

    private struct Multiply : IGradientWork
    {
        public float Factor;

        public FlatAddress<float> Gradient { get; set; }

        public readonly void Run(CudaDevice device, Tensor gradient) => FlatKernels.Scale(device, gradient, Factor);

        public readonly void Invoke(int start, int count) => TensorPrimitives.Multiply(Gradient.Span(start, count), Factor, Gradient.Span(start, count));
    }

    private struct NormPart : IFlatSum
    {
        public FlatAddress<float> Gradient;
        public NormOrder Order;

        public readonly double Invoke(int start, int count)
        {
            ReadOnlySpan<float> g = Gradient.Span(start, count);
            return Order switch
            {
                NormOrder.L2 => Squares(g),
                NormOrder.L1 => Magnitudes(g),
                _ => Math.Abs(TensorPrimitives.MaxMagnitude(g)),
            };
        }

        private static double Squares(ReadOnlySpan<float> g)
        {
            Vector<double> low = Vector<double>.Zero;
            Vector<double> high = Vector<double>.Zero;
            int i = 0;
            for (; i <= g.Length - Vector<float>.Count; i += Vector<float>.Count)
            {
                Vector.Widen(new Vector<float>(g[i..]), out Vector<double> a, out Vector<double> b);
                low += a * a;
                high += b * b;
            }

            double total = Vector.Sum(low + high);
            for (; i < g.Length; i++)
            {
                total += (double)g[i] * g[i];
            }

            return total;
        }

        private static double Magnitudes(ReadOnlySpan<float> g)
        {
            double total = 0;
            foreach (float value in g)
            {
                total += Math.Abs((double)value);
            }

            return total;
        }
    }
}
