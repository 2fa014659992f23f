// add_rms_norm.cu: a residual connection and the RMS normalisation behind it in one pass, forward and backward.
// Method    h = x + r, y = h rstd w: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4
// Shapes    x, r, h, y, dy, dh, dx (R, C) T, w (C) f32, bf16 or f16, rstd (R) f32; parts (P, C) f32; T in {f32, bf16}
// Launch    as rms_norm.cu
// Traffic   forward 4 R C sizeof(T) bytes (apart: 5), 5 R C flop; backward 4 R C sizeof(T) (apart: 6), with dw 8 P C more, 9 R C flop: memory-bound.
//           R = 8192, C = 4096, bf16: 268 MB each way, 80 us at 3.35 TB/s, 56 us at 4.8 TB/s
// Numerics  h is rounded to T before it is normalised, as if the ops were apart; see norm.cuh
// Needs     as rms_norm.cu; dh not null (else rms_norm's backward does it)
#include "norm.cuh"

#define ADD_RMS_NORM(T, suffix)                                                                                                                        \
    GRAFT_KERNEL __launch_bounds__(1024, 1) add_rms_norm_forward_##suffix(                                                                             \
        const T* x, const T* r, const void* w, int w_type, float epsilon, T* h, T* y, float* rstd, i64 rows, int columns, int by_warp)                 \
    {                                                                                                                                                  \
        norm_forward<T, false, true>(x, r, w, w_type, nullptr, 0, epsilon, h, y, nullptr, rstd, rows, columns, by_warp);                               \
    }                                                                                                                                                  \
    GRAFT_KERNEL __launch_bounds__(1024, 1) add_rms_norm_backward_##suffix(                                                                            \
        const T* h, const void* w, int w_type, const float* rstd, const T* dy, const T* dh, T* dx, i64 rows, int columns, int by_warp, int accumulate) \
    {                                                                                                                                                  \
        norm_backward<T, false, true>(h, w, w_type, nullptr, rstd, dy, dh, dx, rows, columns, by_warp, accumulate);                                    \
    }                                                                                                                                                  \
    GRAFT_KERNEL __launch_bounds__(768, 1) add_rms_norm_backward_all_##suffix(                                                                         \
        const T* h, const void* w, int w_type, const float* rstd, const T* dy, const T* dh, T* dx, float* w_parts, i64 rows, int columns, int parts,   \
        int by_warp, int accumulate)                                                                                                                   \
    {                                                                                                                                                  \
        norm_backward_all<T, false, true>(h, w, w_type, nullptr, rstd, dy, dh, dx, w_parts, nullptr, rows, columns, parts, by_warp, accumulate);       \
    }

ADD_RMS_NORM(float, f32)
ADD_RMS_NORM(bf16, bf16)
