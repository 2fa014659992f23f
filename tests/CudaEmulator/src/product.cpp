// product.cpp: D = alpha · op(A) · op(B) + beta · C + bias: what is allowed, whether the operands lie in live memory, and the work.
#include "product.h"
#include <vector>
#include "checked.h"
#include "memory.h"

namespace emu
{
int refuse(int status, const std::string& text)
{
    report("cublasLtMatmul: " + text);
    return status;
}

static bool is_type(int type)
{
    return type == type_f32 || type == type_f16 || type == type_bf16;
}

int Product::check_description() const
{
    const MatmulDescription& p = description;
    if ((p.compute != compute_f32 && p.compute != compute_f32_pedantic && p.compute != compute_tf32) || p.scale_type != type_f32)
    {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, format("compute type %d with scale type %d: the emulator knows 68, 69 and 77 with f32 factors", p.compute, p.scale_type));
    }

    if (p.pointer_mode != 0 || (p.epilogue != epilogue_default && p.epilogue != epilogue_bias))
    {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, format("pointer mode %d, epilogue %u: the emulator knows factors on the host, and none or a bias", p.pointer_mode, p.epilogue));
    }

    for (const Layout* l : {&layout_a, &layout_b, &layout_c, &layout_d})
    {
        if (!is_type(l->type) || l->order != 0)
        {
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED, format("type %d, order %d: the emulator knows f32, f16 and bf16 in column order", l->type, l->order));
        }

        if (l->ld < (int64_t)l->rows || l->batch < 1 || l->batch != layout_d.batch)
        {
            return refuse(CUBLAS_STATUS_INVALID_VALUE, format("%lu rows with a leading dimension of %ld, batch %d against %d", l->rows, l->ld, l->batch, layout_d.batch));
        }
    }

    bool types = layout_a.type == layout_b.type && layout_c.type == layout_d.type && (layout_d.type == type_f32 || layout_d.type == layout_a.type);
    if (!types || (p.compute == compute_tf32 && layout_a.type != type_f32))
    {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, format("types A %d, B %d, C %d, D %d", layout_a.type, layout_b.type, layout_c.type, layout_d.type));
    }

    int64_t rows_a = (int64_t)(p.transposed[0] ? layout_a.columns : layout_a.rows);
    int64_t rows_b = (int64_t)(p.transposed[1] ? layout_b.columns : layout_b.rows), columns_b = (int64_t)(p.transposed[1] ? layout_b.rows : layout_b.columns);
    if (rows_a != m() || rows_b != k() || columns_b != n() || layout_c.rows != layout_d.rows || layout_c.columns != layout_d.columns)
    {
        return refuse(CUBLAS_STATUS_INVALID_VALUE,
                      format("op(A) (%ld, %ld) times op(B) (%ld, %ld) is not C (%lu, %lu) or D (%ld, %ld)", rows_a, k(), rows_b, columns_b, layout_c.rows, layout_c.columns, m(), n()));
    }

    if (p.epilogue == epilogue_bias && (p.bias == nullptr || (bias_type() != type_f32 && bias_type() != layout_d.type)))
    {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "the bias epilogue without a bias pointer, or with a bias of another type");
    }

    return CUBLAS_STATUS_SUCCESS;
}

bool Product::operands_live() const
{
    if (m() == 0 || n() == 0)
    {
        return true;
    }

    bool live = k() == 0 || (inside(a, layout_a.extent(), "cublasLtMatmul: A") && inside(b, layout_b.extent(), "cublasLtMatmul: B"));
    live = live && inside(d, layout_d.extent(), "cublasLtMatmul: D") && (beta == 0 || inside(c, layout_c.extent(), "cublasLtMatmul: C"));
    if (live && description.epilogue == epilogue_bias)
    {
        size_t bytes = (size_t)((layout_d.batch - 1) * description.bias_stride + m()) * (bias_type() == type_f32 ? 4 : 2);
        live = inside(description.bias, bytes, "cublasLtMatmul: bias");
    }

    return live;
}

CUresult Product::run() const
{
    if (!operands_live())
    {
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }

    if (modes.checked && !shadow_matrix_known(a, layout_a.rows, layout_a.columns, layout_a.ld, layout_a.element(), "cublasLtMatmul: A"))
    {
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }

    if (modes.checked && !shadow_matrix_known(b, layout_b.rows, layout_b.columns, layout_b.ld, layout_b.element(), "cublasLtMatmul: B"))
    {
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }

    bool tf32 = description.compute == compute_tf32;
    std::vector<float> product((size_t)(m() * n()));
    for (int64_t batch = 0; batch < layout_d.batch; batch++)
    {
        Operand x = {a + batch * layout_a.stride * layout_a.element(), layout_a.type, layout_a.ld, description.transposed[0] != 0};
        Operand y = {b + batch * layout_b.stride * layout_b.element(), layout_b.type, layout_b.ld, description.transposed[1] != 0};
        multiply(product.data(), x, y, m(), n(), k(), tf32);
        const char* from = c + batch * layout_c.stride * layout_c.element();
        char* to = d + batch * layout_d.stride * layout_d.element();
        for (int64_t j = 0; j < n(); j++)
        {
            for (int64_t i = 0; i < m(); i++)
            {
                float value = alpha * product[(size_t)(j * m() + i)];
                value += beta == 0 ? 0.0f : beta * read_element(from, layout_c.type, j * layout_c.ld + i);
                value += description.epilogue == epilogue_bias ? read_element(description.bias, bias_type(), batch * description.bias_stride + i) : 0.0f;
                write_element(to, layout_d.type, j * layout_d.ld + i, value);
            }

            shadow_host_write(to + j * layout_d.ld * layout_d.element(), (size_t)(m() * layout_d.element()));
        }
    }

    return CUDA_SUCCESS;
}
} // namespace emu
