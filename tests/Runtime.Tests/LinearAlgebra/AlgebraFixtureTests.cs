using Graft.Runtime.LinearAlgebra;
using Graft.Runtime.Tests.Support;

namespace Graft.Runtime.Tests.LinearAlgebra;

[Category("Fixtures")]
public class AlgebraFixtureTests
{
    private static IEnumerable<TestCaseData> Rows() => OpRecording.Cases("linear-algebra");

    [TestCaseSource(nameof(Rows))]
    public void A_decomposition_agrees_with_the_recording(OpRecording row)
    {
        string input = row.Inputs[0];
        float[] a = row.Floats("input", input);
        double[] exact = row.Doubles("input", input);
        int m = row.Shape("input", input)[0], n = row.Shape("input", input)[1];
        switch (Operation(row.Name))
        {
            case "svd":
                Svd svd = Svd.Thin(a, m, n);
                Check(row, "s", svd.S);
                CheckUpToSign(row, "u", svd.U, svd.Count, "vh", svd.Vt);
                break;
            case "qr":
                Qr qr = Qr.Thin(a, m, n);
                CheckUpToSign(row, "q", qr.Q, qr.Rank, "r", qr.R);
                break;
            case "eigh":
                SymmetricEigen eigen = SymmetricEigen.Decompose(a, n);
                Check(row, "values", eigen.Values);
                CheckUpToSign(row, "vectors", eigen.Vectors(), n, null, []);
                break;
            case "cholesky":
                Check(row, null, Cholesky.Decompose(a, n).L);
                break;
            case "lu":
                Lu lu = Lu.Decompose(a, n);
                Check(row, "l", lu.Lower());
                Check(row, "u", lu.Upper());
                double[] p = new double[n * n];
                for (int i = 0; i < n; i++)
                {
                    p[(lu.Rows[i] * n) + i] = 1; // recorded is A = P L U
                }

                Check(row, "p", p);
                break;
            case "solve":
                string right = row.Inputs[1];
                Check(row, null, Lu.Decompose(a, n).Solve(row.Doubles("input", right), row.Shape("input", right)[1]));
                break;
            case "inverse":
                Check(row, null, Lu.Decompose(a, n).Inverse());
                break;
            case "determinant":
                (double sign, double log) = Lu.Decompose(a, n).Determinant();
                Check(row, "sign", [sign]);
                Check(row, "log", [log]);
                break;
            case "least":
                int columns = row.Shape("input", row.Inputs[1])[1];
                Check(row, null, MatrixProduct.Multiply(Svd.Thin(a, m, n).PseudoInverse(), row.Doubles("input", row.Inputs[1]), n, columns, m));
                break;
            case "pseudo":
                Check(row, null, Svd.Thin(a, m, n).PseudoInverse());
                break;
            case "matrix":
                Check(row, null, MatrixExponential.Of(exact, n));
                break;
            case "triangular":
                Check(row, null, Triangular.Solve(exact, n, row.Doubles("input", row.Inputs[1]), row.Shape("input", row.Inputs[1])[1], lower: true));
                break;
            default:
                Assert.Ignore($"{row.Name} is not built: no part of the runtime needs it yet.");
                break;
        }
    }

    private static string Operation(string name) => name.Split('-')[0];

    private static void Check(OpRecording row, string? part, double[] actual) =>
        Worst.Within(actual, row.Doubles("truth", part), row.Tolerance("output"), 0, $"{row.Name} {part}", row.Shape("truth", part));

    // Columns of one factor, with their rows of the other, may be turned.
    private static void CheckUpToSign(OpRecording row, string left, double[] columns, int count, string? right, double[] rows)
    {
        double[] expected = row.Doubles("truth", left);
        double[] turned = (double[])columns.Clone();
        double[] turnedRows = (double[])rows.Clone();
        int width = rows.Length / count;
        for (int j = 0; j < count; j++)
        {
            double product = 0;
            for (int i = j; i < columns.Length; i += count)
            {
                product += columns[i] * expected[i];
            }

            for (int i = j; i < columns.Length && product < 0; i += count)
            {
                turned[i] = -turned[i];
            }

            for (int i = j * width; i < (j + 1) * width && product < 0; i++)
            {
                turnedRows[i] = -turnedRows[i];
            }
        }

        Check(row, left, turned);
        if (right is not null)
        {
            Check(row, right, turnedRows);
        }
    }
}
