// gemm.cpp: operands are unpacked to f32 panels, then tiles of 16 x 4 run over k. No contraction, so that every machine gives the same bits.
#include "gemm.h"
#include <algorithm>
#include <cstring>
#include <vector>

namespace emu
{
constexpr int tile_m = 16, tile_n = 4;

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static uint32_t to_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

static float from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00)
    {
        return from_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    }

    return rest < 0x400 ? from_bits(sign | to_bits((float)rest * 0x1p-24f)) : from_bits(sign | ((rest << 13) + 0x38000000));
}

static uint16_t to_f16(float x)
{
    uint32_t bits = to_bits(x), sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
    {
        return 0x7fff;
    }

    if (bits >= 0x477ff000)
    {
        return (uint16_t)(sign | 0x7c00);
    }

    if (bits < 0x38800000)
    {
        return (uint16_t)(sign | (to_bits(from_bits(bits) + 0.5f) - 0x3f000000));
    }

    return (uint16_t)(sign | ((bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13));
}

static uint16_t to_bf16(float x)
{
    uint32_t bits = to_bits(x);
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float read_element(const void* data, int type, int64_t index)
{
    if (type == type_f32)
    {
        return ((const float*)data)[index];
    }

    uint16_t bits = ((const uint16_t*)data)[index];
    return type == type_bf16 ? from_bits((uint32_t)bits << 16) : from_f16(bits);
}

void write_element(void* data, int type, int64_t index, float value)
{
    if (type == type_f32)
    {
        ((float*)data)[index] = value;
    }
    else
    {
        ((uint16_t*)data)[index] = type == type_bf16 ? to_bf16(value) : to_f16(value);
    }
}

static float round_tf32(float x)
{
    uint32_t bits = to_bits(x);
    return (bits & 0x7f800000) == 0x7f800000 ? x : from_bits((bits + 0x1000) & 0xffffe000);
}

// panel (k, width): width elements of the matrix side by side for each k, zeros beyond its end. `step` is the distance between neighbours, `k_step` along k.
static void pack(float* panel, const Operand& x, int64_t first, int64_t end, int64_t k, int width, int64_t step, int64_t k_step, bool tf32)
{
    for (int64_t p = 0; p < k; p++)
    {
        for (int i = 0; i < width; i++)
        {
            float value = first + i < end ? read_element(x.data, x.type, (first + i) * step + p * k_step) : 0.0f;
            panel[p * width + i] = tf32 ? round_tf32(value) : value;
        }
    }
}

typedef float Vector __attribute__((vector_size(32), aligned(4)));

__attribute__((target_clones("avx2", "default"))) static void tile(float* c, const float* a, const float* b, int64_t k)
{
    Vector sums[tile_n][2] = {};
    for (int64_t p = 0; p < k; p++)
    {
        Vector a0 = *(const Vector*)(a + p * tile_m), a1 = *(const Vector*)(a + p * tile_m + 8);
#pragma GCC unroll 4
        for (int j = 0; j < tile_n; j++)
        {
            float x = b[p * tile_n + j];
            sums[j][0] += a0 * x;
            sums[j][1] += a1 * x;
        }
    }

    memcpy(c, sums, sizeof(sums));
}

void multiply(float* product, const Operand& a, const Operand& b, int64_t m, int64_t n, int64_t k, bool tf32)
{
    int64_t panels = (n + tile_n - 1) / tile_n;
    std::vector<float> packed_b((size_t)(panels * tile_n * std::max<int64_t>(k, 1)));
    for (int64_t j = 0; j < panels; j++)
    {
        pack(packed_b.data() + j * tile_n * k, b, j * tile_n, n, k, tile_n, b.transposed ? 1 : b.ld, b.transposed ? b.ld : 1, tf32);
    }

    std::vector<float> packed_a((size_t)(tile_m * std::max<int64_t>(k, 1)));
    float result[tile_n * tile_m];
    for (int64_t i = 0; i < m; i += tile_m)
    {
        pack(packed_a.data(), a, i, m, k, tile_m, a.transposed ? a.ld : 1, a.transposed ? 1 : a.ld, tf32);
        for (int64_t j = 0; j < panels; j++)
        {
            tile(result, packed_a.data(), packed_b.data() + j * tile_n * k, k);
            int64_t columns = std::min<int64_t>(tile_n, n - j * tile_n), rows = std::min<int64_t>(tile_m, m - i);
            for (int64_t q = 0; q < columns; q++)
            {
                memcpy(product + (j * tile_n + q) * m + i, result + q * tile_m, (size_t)rows * sizeof(float));
            }
        }
    }
}
} // namespace emu
