using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Cpu;

/// <summary>What is run again with parts of the instruction set switched off. A new kernel adds a line; keep it below a second without vectors.</summary>
internal static class SimdChecks
{
    /// <summary>Names and checks; a check throws where it fails.</summary>
    public static IReadOnlyList<(string Name, Action Run)> All { get; } =
    [
        ("exp", new VectorMathTests().Exp_is_within_1_2_ulp),
        ("exp2", new VectorMathTests().Exp2_is_within_1_ulp),
        ("log", new VectorMathTests().Log_is_within_1_2_ulp),
        ("log1p", new VectorMathTests().Log1p_is_within_2_ulp),
        ("tanh", new VectorMathTests().Tanh_is_within_2_3_ulp),
        ("sigmoid", new VectorMathTests().Sigmoid_is_within_2_5_ulp),
        ("erf", new VectorMathTests().Erf_is_within_1_5_ulp),
        ("elementwise", () => Each([0, 1, 7, 8, 9, 33, WorkerTeam.Grain + 1], new ElementwiseTests().All_arities_agree_with_F64_at_every_length_and_touch_nothing_beside)),
        ("broadcast", () => new ElementwiseTests().Operands_are_repeated_along_axes_of_length_one("600,1,33", "600,4,33")),
        ("softmax", () => Each(RowKernelTests.Sizes[..^1], new RowKernelTests().Softmax_and_its_logarithm)),
        ("reductions", () => Each(RowKernelTests.Sizes, new RowKernelTests().Sums_and_maxima)),
        ("norm in F64", new RowKernelTests().Norm_of_numbers_whose_squares_overflow_F32_is_finite),
        ("rms norm", () => Each(RowKernelTests.Sizes[..^1], new RowKernelTests().Rms_norm)),
        ("layer norm", () => Each(RowKernelTests.Sizes[..^1], new RowKernelTests().Layer_norm)),
        ("cross-entropy", () => new TrainingKernelTests().Cross_entropy_and_its_gradient(1000, 0.1f, true)),
        ("rotary", () => new TrainingKernelTests().Rotation_turns_pairs_and_its_inverse_brings_them_back(40, true)),
        ("dropout", new TrainingKernelTests().Dropout_keeps_elements_by_their_place_in_the_stream),
        ("flat blocks", new TrainingKernelTests().Blocks_are_scaled_and_added),
        ("conversions", new TrainingKernelTests().Conversions_agree_with_the_scalar_ones_for_patterns_of_all_magnitudes),
        ("matrix products", MatrixProducts),
        ("attention", () => Each(AttentionTests.Settings().Take(6), s =>
        {
            new AttentionTests().Forward_agrees_with_f64(s);
            new AttentionTests().Backward_agrees_with_f64(s);
        })),
    ];

    private static void MatrixProducts()
    {
        foreach ((int, int, int) size in new[] { (1, 33, 40), (4, 70, 64), (13, 50, 24), (40, 40, 33) })
        {
            foreach (bool bfloat16 in new[] { false, true })
            {
                new GemmTests().Product_agrees_with_f64(size, false, false, bfloat16);
                new GemmTests().Product_agrees_with_f64(size, true, true, bfloat16);
            }
        }

        new GemmTests().Product_agrees_with_f64((205, 133, 401), false, true, false);
        new GemmTests().Second_term_is_added(205, 133, 401, 16);

        foreach (BlockType type in new[] { BlockType.Q40, BlockType.Q41, BlockType.Q80 })
        {
            foreach (int rows in new[] { 1, 3, 40 })
            {
                new GemmTests().Product_with_a_quantised_matrix_agrees_with_f64(type, rows, 37, 96, true);
                new GemmTests().Product_with_a_quantised_matrix_agrees_with_f64(type, rows, 37, 96, false);
            }
        }
    }

    private static void Each<T>(IEnumerable<T> values, Action<T> check)
    {
        foreach (T value in values)
        {
            check(value);
        }
    }
}
