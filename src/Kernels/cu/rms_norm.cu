// rms_norm.cu: RMS normalisation over the last axis, forward and backward.
// Method    Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4
// Shapes    x, y, dy, dx (R, C) T, w (C) f32, bf16 or f16, rstd (R) f32; parts (P, C) f32; T in {f32, bf16}
// Launch    rows of up to 64 packs (512 bf16 elements): a warp each, 4 in a block of 128; longer ones a block of up to 1024 threads, 2 packs a thread
//           backward_all: P groups of rows, at most 384 blocks of up to 640 threads, or 1536 warps; then reduce_sum_parts over (P, C)
//           backward_weights: grid (C / 256, P), block 256
// Traffic   forward 2 R C sizeof(T) bytes, 4 R C flop; backward 3 R C sizeof(T), with dw 8 P C more, 8 R C flop: about 1 flop/byte in bf16, memory-bound.
//           R = 8192, C = 4096, bf16: 134 MB forward, 201 + 13 MB backward: 40 and 64 us at 3.35 TB/s, 28 and 45 us at 4.8 TB/s. w is read by every row,
//           from L1. 2 packs x 16 bytes x 1024 threads of an SM are under way: 32 KiB, of which 15 (22) KiB hide 0.6 us at 3.35 (4.8) TB/s.
// Numerics  see norm.cuh
// Needs     backward_all: rows of whole, aligned packs and C <= 640 * 2 packs; others take backward and backward_weights
#include "norm.cuh"

#define RMS_NORM(T, suffix)                                                                                                                            \
    GRAFT_KERNEL __launch_bounds__(1024, 1)                                                                                                            \
        rms_norm_forward_##suffix(const T* x, const void* w, int w_type, float epsilon, T* y, float* rstd, i64 rows, int columns, int by_warp)         \
    {                                                                                                                                                  \
        norm_forward<T, false, false>(x, nullptr, w, w_type, nullptr, 0, epsilon, nullptr, y, nullptr, rstd, rows, columns, by_warp);                  \
    }                                                                                                                                                  \
    GRAFT_KERNEL __launch_bounds__(1024, 1) rms_norm_backward_##suffix(                                                                                \
        const T* x, const void* w, int w_type, const float* rstd, const T* dy, T* dx, i64 rows, int columns, int by_warp, int accumulate)              \
    {                                                                                                                                                  \
        norm_backward<T, false, false>(x, w, w_type, nullptr, rstd, dy, nullptr, dx, rows, columns, by_warp, accumulate);                              \
    }                                                                                                                                                  \
    GRAFT_KERNEL __launch_bounds__(768, 1) rms_norm_backward_all_##suffix(                                                                             \
        const T* x, const void* w, int w_type, const float* rstd, const T* dy, T* dx, float* w_parts, i64 rows, int columns, int parts, int by_warp,   \
        int accumulate)                                                                                                                                \
    {                                                                                                                                                  \
        norm_backward_all<T, false, false>(x, w, w_type, nullptr, rstd, dy, nullptr, dx, w_parts, nullptr, rows, columns, parts, by_warp, accumulate); \
    }                                                                                                                                                  \
    GRAFT_KERNEL rms_norm_backward_weights_##suffix(const T* x, const float* rstd, const T* dy, float* w_parts, i64 rows, int columns, int parts)      \
    {                                                                                                                                                  \
        norm_backward_weights<T, false>(x, nullptr, rstd, dy, w_parts, nullptr, rows, columns, parts);                                                 \
    }

RMS_NORM(float, f32)
RMS_NORM(bf16, bf16)
