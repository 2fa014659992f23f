using Graft.Runtime;

namespace Graft.Bench.Works;

/// <summary>B rows of T tokens and, for each, the token that follows; drawn once and used in every step, so that the loss must fall.</summary>
internal sealed class TokenBatch
{
    /// <summary>A batch of tokens below <paramref name="vocabulary"/>.</summary>
    public TokenBatch(int rows, int length, int vocabulary)
    {
        (Rows, Length) = (rows, length);
        Rng random = new Rng(11).Stream("tokens");
        Ids = new int[rows * length];
        Targets = new int[rows * length];
        for (int row = 0; row < rows; row++)
        {
            for (int i = 0; i <= length; i++)
            {
                int token = random.Below((row * (length + 1)) + i, vocabulary);
                if (i < length)
                {
                    Ids[(row * length) + i] = token;
                }

                if (i > 0)
                {
                    Targets[(row * length) + i - 1] = token;
                }
            }
        }
    }

    /// <summary>B.</summary>
    public int Rows { get; }

    /// <summary>T.</summary>
    public int Length { get; }

    /// <summary>B·T.</summary>
    public int Tokens => Rows * Length;

    /// <summary>(B·T).</summary>
    public int[] Ids { get; }

    /// <summary>(B·T).</summary>
    public int[] Targets { get; }
}
