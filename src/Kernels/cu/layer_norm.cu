// layer_norm.cu: layer normalisation over the last axis, forward and backward.
// Method    Ba, Kiros and Hinton 2016, arXiv:1607.06450; variance of the population in two passes
// Shapes    x, y, dy, dx (R, C) T, w and b (C) f32, bf16 or f16 (b may be null), mean and rstd (R) f32; parts (P, C) f32; T in {f32, bf16}
// Launch    as rms_norm.cu
// Traffic   forward 2 R C sizeof(T) bytes, 7 R C flop; backward 3 R C sizeof(T), with dw and db 16 P C more, 11 R C flop: about 2 flop/byte in bf16,
//           memory-bound. R = 8192, C = 4096, bf16: 134 MB forward, 201 + 25 MB backward: 40 and 67 us at 3.35 TB/s, 28 and 47 us at 4.8 TB/s.
// Numerics  see norm.cuh: a mean of 4000 beside a deviation of 1 costs the digits of x - mean alone
// Needs     as rms_norm.cu
#include "norm.cuh"

#define LAYER_NORM(T, suffix)                                                                                                                                \
    GRAFT_KERNEL __launch_bounds__(1024, 1) layer_norm_forward_##suffix(                                                                                     \
        const T* x, const void* w, int w_type, const void* b, int b_type, float epsilon, T* y, float* mean, float* rstd, i64 rows, int columns, int by_warp) \
    {                                                                                                                                                        \
        norm_forward<T, true, false>(x, nullptr, w, w_type, b, b_type, epsilon, nullptr, y, mean, rstd, rows, columns, by_warp);                             \
    }                                                                                                                                                        \
    GRAFT_KERNEL __launch_bounds__(1024, 1) layer_norm_backward_##suffix(                                                                                    \
        const T* x, const void* w, int w_type, const float* mean, const float* rstd, const T* dy, T* dx, i64 rows, int columns, int by_warp, int accumulate) \
    {                                                                                                                                                        \
        norm_backward<T, true, false>(x, w, w_type, mean, rstd, dy, nullptr, dx, rows, columns, by_warp, accumulate);                                        \
    }                                                                                                                                                        \
    GRAFT_KERNEL __launch_bounds__(640, 1) layer_norm_backward_all_##suffix(                                                                                 \
        const T* x, const void* w, int w_type, const float* mean, const float* rstd, const T* dy, T* dx, float* w_parts, float* b_parts, i64 rows,           \
        int columns, int parts, int by_warp, int accumulate)                                                                                                 \
    {                                                                                                                                                        \
        norm_backward_all<T, true, false>(x, w, w_type, mean, rstd, dy, nullptr, dx, w_parts, b_parts, rows, columns, parts, by_warp, accumulate);           \
    }                                                                                                                                                        \
    GRAFT_KERNEL layer_norm_backward_weights_##suffix(                                                                                                       \
        const T* x, const float* mean, const float* rstd, const T* dy, float* w_parts, float* b_parts, i64 rows, int columns, int parts)                     \
    {                                                                                                                                                        \
        norm_backward_weights<T, true>(x, mean, rstd, dy, w_parts, b_parts, rows, columns, parts);                                                           \
    }

LAYER_NORM(float, f32)
LAYER_NORM(bf16, bf16)
