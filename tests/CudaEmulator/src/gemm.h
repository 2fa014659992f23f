// gemm.h: the matrix product behind cublasLtMatmul.
#pragma once
#include <cstddef>
#include <cstdint>

namespace emu
{
constexpr int type_f32 = 0, type_f16 = 2, type_bf16 = 14;

// A matrix in column-major order, or its transpose.
struct Operand
{
    const void* data;
    int type;
    int64_t ld;
    bool transposed;
};

float read_element(const void* data, int type, int64_t index);
void write_element(void* data, int type, int64_t index, float value);

// product (m, n) column-major, ld m, = a (m, k) · b (k, n), in f32, k ascending for every element; inputs rounded to tf32 where asked.
void multiply(float* product, const Operand& a, const Operand& b, int64_t m, int64_t n, int64_t k, bool tf32);
} // namespace emu
