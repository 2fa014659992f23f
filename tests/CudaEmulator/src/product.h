// product.h: one matrix product as cublasLt describes it.
#pragma once
#include "gemm.h"
#include "state.h"

namespace emu
{
enum cublasStatus
{
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_NOT_INITIALIZED = 1,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_EXECUTION_FAILED = 13,
    CUBLAS_STATUS_NOT_SUPPORTED = 15
};

constexpr int compute_f32 = 68, compute_f32_pedantic = 69, compute_tf32 = 77;
constexpr uint32_t epilogue_default = 1, epilogue_bias = 4;

struct MatmulDescription
{
    int compute, scale_type;
    int pointer_mode = 0;
    int transposed[2] = {0, 0};
    uint32_t epilogue = epilogue_default;
    const void* bias = nullptr;
    int64_t bias_stride = 0;
    int bias_type = -1;
};

struct Layout
{
    int type;
    uint64_t rows, columns;
    int64_t ld;
    int order = 0;
    int batch = 1;
    int64_t stride = 0;

    int64_t element() const
    {
        return type == type_f32 ? 4 : 2;
    }

    // Bytes from the first element to behind the last one.
    size_t extent() const
    {
        return (size_t)(((batch - 1) * stride + ((int64_t)columns - 1) * ld + (int64_t)rows) * element());
    }
};

// Reports, and answers the status.
int refuse(int status, const std::string& text);

struct Product
{
    MatmulDescription description;
    float alpha, beta;
    const char *a, *b, *c;
    char* d;
    Layout layout_a, layout_b, layout_c, layout_d;

    int64_t m() const
    {
        return (int64_t)layout_d.rows;
    }

    int64_t n() const
    {
        return (int64_t)layout_d.columns;
    }

    int64_t k() const
    {
        return (int64_t)(description.transposed[0] ? layout_a.rows : layout_a.columns);
    }

    int bias_type() const
    {
        return description.bias_type >= 0 ? description.bias_type : layout_d.type;
    }

    int check_description() const;
    bool operands_live() const;
    CUresult run() const;
};
} // namespace emu
