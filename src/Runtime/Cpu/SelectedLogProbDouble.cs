namespace Graft.Runtime.Cpu;

/// <summary>The same in F64 by plain loops, as the definition reads: the oracle.</summary>
internal readonly unsafe struct SelectedLogProbDouble
{
    public required double* Hidden { get; init; }

    public required double* Weight { get; init; }

    public required int* Targets { get; init; }

    public required int Rows { get; init; }

    public required int Width { get; init; }

    public required int Vocabulary { get; init; }

    public required double Smoothing { get; init; }

    public required double SoftCap { get; init; }

    /// <summary>logProb (N), and logSumExp (N) where asked for.</summary>
    public void Forward(double* logProb, double* logSumExp)
    {
        double[] z = new double[Vocabulary];
        double[] slopes = new double[Vocabulary];
        for (int row = 0; row < Rows; row++)
        {
            bool counted = Targets[row] >= 0;
            double lse = counted ? Logits(row, z, slopes) : 0;
            double selected = 0;
            for (int k = 0; counted && k < Vocabulary; k++)
            {
                selected += (z[k] - lse) * ((Smoothing / Vocabulary) + (k == Targets[row] ? 1 - Smoothing : 0));
            }

            logProb[row] = selected;
            if (logSumExp != null)
            {
                logSumExp[row] = lse;
            }
        }
    }

    /// <summary>Adds to the gradients that have memory.</summary>
    public void Backward(double* coefficients, double* others, double* dHidden, double* dWeight)
    {
        double[] z = new double[Vocabulary];
        double[] slopes = new double[Vocabulary];
        for (int row = 0; row < Rows; row++)
        {
            if (Targets[row] < 0)
            {
                continue;
            }

            double lse = Logits(row, z, slopes);
            double own = coefficients == null ? 0 : coefficients[row];
            double other = others == null ? 0 : others[row];
            for (int k = 0; k < Vocabulary; k++)
            {
                double p = Math.Exp(z[k] - lse);
                double g = slopes[k] * ((own * ((Smoothing / Vocabulary) + (k == Targets[row] ? 1 - Smoothing : 0) - p)) + (other * p));
                for (int i = 0; i < Width; i++)
                {
                    if (dHidden != null)
                    {
                        dHidden[((long)row * Width) + i] += g * Weight[((long)k * Width) + i];
                    }

                    if (dWeight != null)
                    {
                        dWeight[((long)k * Width) + i] += g * Hidden[((long)row * Width) + i];
                    }
                }
            }
        }
    }

    private double Logits(int row, double[] z, double[] slopes)
    {
        double max = double.NegativeInfinity;
        for (int k = 0; k < Vocabulary; k++)
        {
            double sum = 0;
            for (int i = 0; i < Width; i++)
            {
                sum += Hidden[((long)row * Width) + i] * Weight[((long)k * Width) + i];
            }

            double tanh = SoftCap == 0 ? 0 : Math.Tanh(sum / SoftCap);
            z[k] = SoftCap == 0 ? sum : SoftCap * tanh;
            slopes[k] = 1 - (tanh * tanh);
            max = Math.Max(max, z[k]);
        }

        double total = 0;
        foreach (double value in z)
        {
            total += Math.Exp(value - max);
        }

        return max + Math.Log(total);
    }
}
