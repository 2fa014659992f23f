namespace Graft.Runtime.Cpu;

/// <summary>Matrix products in F64 by plain loops: for references in tests, where nothing is large.</summary>
internal static unsafe class GemmDouble
{
    /// <summary>Computes <paramref name="c"/>, all of whose pointers are to F64, but B may be quantised; one row of C per chunk.</summary>
    public static void Run(WorkerTeam team, in GemmCall c)
    {
        c.Check();
        RowWork work = new(c);
        team.Run(checked(c.M * c.Batch), ref work);
        if (c.Second.K > 0)
        {
            Run(team, c.SecondAlone());
        }
    }

    private readonly struct RowWork(GemmCall call) : IChunkWork
    {
        public void Invoke(int chunk, int worker)
        {
            (int item, int row) = Math.DivRem(chunk, call.M);
            double* a = (double*)call.A + (item * call.StrideA) + (row * (call.TransposeA ? 1 : call.LeadingA));
            double* c = (double*)call.C + (item * call.StrideC) + (row * call.LeadingC);
            long stepA = call.TransposeA ? call.LeadingA : 1;
            long stepB = call.TransposeB ? 1 : call.LeadingB;
            for (int j = 0; j < call.N; j++)
            {
                long column = (item * call.StrideB) + (j * (call.TransposeB ? call.LeadingB : 1));
                double sum = 0;
                for (int k = 0; k < call.K; k++)
                {
                    sum += a[k * stepA] * Element(column + (k * stepB));
                }

                double value = (call.Alpha * sum) + (call.Bias == null ? 0 : ((double*)call.Bias)[j]);
                c[j] = call.Beta == 0 ? value : value + (call.Beta * c[j]);
            }
        }

        private double Element(long at) => call.TypeB switch
        {
            OperandType.Q40 => LoadBlocks<LoadQ40>.One(call.B, at),
            OperandType.Q41 => LoadBlocks<LoadQ41>.One(call.B, at),
            OperandType.Q80 => LoadBlocks<LoadQ80>.One(call.B, at),
            _ => ((double*)call.B)[at],
        };
    }
}
