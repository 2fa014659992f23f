// cublaslt.cpp: the ABI of cublasLt for matrix products with a bias. Through the stream's queue, so that lazy streams and graphs see it as any other work.
#include <cstring>
#include <memory>
#include "checked.h"
#include "gemm.h"
#include "memory.h"
#include "streams.h"

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

struct Preference
{
    uint64_t workspace = 0;
    uint32_t alignment[4] = {256, 256, 256, 256};
};

// What the 64 bytes of an algorithm hold: which one, and the alignment of A, B, C and D that was promised for it.
struct Algorithm
{
    uint64_t magic;
    uint32_t number;
    uint32_t alignment[4];
    uint32_t unused[9];
};

static_assert(sizeof(Algorithm) == 64, "as cublasLtMatmulAlgo_t");
constexpr uint64_t algorithm_magic = 0x54464152474f4c41u;

struct HeuristicResult
{
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

static int refuse(int status, const std::string& text)
{
    report("cublasLtMatmul: " + text);
    return status;
}

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

template <typename T>
static int store(T& field, const void* value, size_t bytes)
{
    if (value == nullptr || bytes < sizeof(T))
    {
        return CUBLAS_STATUS_INVALID_VALUE;
    }

    memcpy(&field, value, sizeof(T));
    return CUBLAS_STATUS_SUCCESS;
}
} // namespace emu

using namespace emu;

EXPORT int cublasLtCreate(void** handle)
{
    Guard guard(lock);
    if (current_context() == nullptr)
    {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }

    *handle = new int(0);
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT int cublasLtDestroy(void* handle)
{
    delete (int*)handle;
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT size_t cublasLtGetVersion()
{
    return 120400;
}

EXPORT const char* cublasLtGetStatusName(int status)
{
    switch (status)
    {
    case CUBLAS_STATUS_SUCCESS:
        return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
        return "CUBLAS_STATUS unknown";
    }
}

EXPORT const char* cublasLtGetStatusString(int status)
{
    return cublasLtGetStatusName(status);
}

// ---- descriptors ----------------------------------------------------------------------------------------------------------------------------------
EXPORT int cublasLtMatmulDescCreate(MatmulDescription** description, int compute, int scale_type)
{
    *description = new MatmulDescription{compute, scale_type};
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT int cublasLtMatmulDescDestroy(MatmulDescription* description)
{
    delete description;
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT int cublasLtMatmulDescSetAttribute(MatmulDescription* p, int attribute, const void* value, size_t bytes)
{
    switch (attribute)
    {
    case 0:
        return store(p->compute, value, bytes);
    case 1:
        return store(p->scale_type, value, bytes);
    case 2:
        return store(p->pointer_mode, value, bytes);
    case 3:
    case 4:
        return store(p->transposed[attribute - 3], value, bytes);
    case 7:
        return store(p->epilogue, value, bytes);
    case 8:
        return store(p->bias, value, bytes);
    case 10:
        return store(p->bias_stride, value, bytes);
    case 26:
        return store(p->bias_type, value, bytes);
    default:
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, format("description attribute %d is not emulated", attribute));
    }
}

EXPORT int cublasLtMatmulDescGetAttribute(MatmulDescription* p, int attribute, void* value, size_t bytes, size_t* written)
{
    const void* from = attribute == 0 ? (void*)&p->compute : attribute == 1 ? (void*)&p->scale_type : attribute == 2 ? (void*)&p->pointer_mode : attribute == 3 ? (void*)&p->transposed[0]
                     : attribute == 4 ? (void*)&p->transposed[1] : attribute == 7 ? (void*)&p->epilogue : attribute == 8 ? (void*)&p->bias : nullptr;
    size_t size = attribute == 8 ? 8 : 4;
    if (from == nullptr || (value != nullptr && bytes < size))
    {
        return CUBLAS_STATUS_INVALID_VALUE;
    }

    if (value != nullptr)
    {
        memcpy(value, from, size);
    }

    if (written != nullptr)
    {
        *written = size;
    }

    return CUBLAS_STATUS_SUCCESS;
}

EXPORT int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns, int64_t ld)
{
    *layout = new Layout{type, rows, columns, ld};
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT int cublasLtMatrixLayoutDestroy(Layout* layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT int cublasLtMatrixLayoutSetAttribute(Layout* l, int attribute, const void* value, size_t bytes)
{
    switch (attribute)
    {
    case 0:
        return store(l->type, value, bytes);
    case 1:
        return store(l->order, value, bytes);
    case 2:
        return store(l->rows, value, bytes);
    case 3:
        return store(l->columns, value, bytes);
    case 4:
        return store(l->ld, value, bytes);
    case 5:
        return store(l->batch, value, bytes);
    case 6:
        return store(l->stride, value, bytes);
    default:
        return CUBLAS_STATUS_INVALID_VALUE;
    }
}

EXPORT int cublasLtMatmulPreferenceCreate(Preference** preference)
{
    *preference = new Preference();
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT int cublasLtMatmulPreferenceDestroy(Preference* preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference* p, int attribute, const void* value, size_t bytes)
{
    if (attribute == 1)
    {
        return store(p->workspace, value, bytes);
    }

    if (attribute >= 5 && attribute <= 8)
    {
        return store(p->alignment[attribute - 5], value, bytes);
    }

    return attribute == 0 || attribute == 3 || attribute == 9 || attribute == 12 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

// Three algorithms that do the same. Their promise is real: a pointer less aligned than the preference said is refused, as a card's kernels may fail on it.
EXPORT int cublasLtMatmulAlgoGetHeuristic(
    void*, const MatmulDescription* description, const Layout* a, const Layout* b, const Layout* c, const Layout* d, const Preference* preference, int requested, HeuristicResult* results, int* returned)
{
    Guard guard(lock);
    *returned = 0;
    Product p = {*description, 1, 0, nullptr, nullptr, nullptr, nullptr, *a, *b, *c, *d};
    if (p.description.epilogue == epilogue_bias && p.description.bias == nullptr)
    {
        p.description.epilogue = epilogue_default; // the pointer may come later
    }

    int status = requested <= 0 ? (int)CUBLAS_STATUS_INVALID_VALUE : p.check_description();
    if (status != CUBLAS_STATUS_SUCCESS)
    {
        return status;
    }

    for (int i = 0; i < requested && i < 3; i++)
    {
        results[i] = {};
        results[i].algorithm.magic = algorithm_magic;
        results[i].algorithm.number = (uint32_t)i;
        memcpy(results[i].algorithm.alignment, preference->alignment, sizeof(preference->alignment));
        results[i].waves = 1;
        *returned = i + 1;
    }

    return CUBLAS_STATUS_SUCCESS;
}

static int check_algorithm(const Algorithm* algorithm, const Product& p)
{
    if (algorithm == nullptr)
    {
        return CUBLAS_STATUS_SUCCESS;
    }

    if (algorithm->magic != algorithm_magic)
    {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "the algorithm is not one of cublasLtMatmulAlgoGetHeuristic");
    }

    const void* pointers[] = {p.a, p.b, p.beta == 0 ? nullptr : p.c, p.d};
    for (int i = 0; i < 4; i++)
    {
        if (algorithm->alignment[i] != 0 && (size_t)pointers[i] % algorithm->alignment[i] != 0)
        {
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED,
                          format("%c at %p is less aligned than the %u bytes that its algorithm was chosen for (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_%c_BYTES)", "ABCD"[i], pointers[i],
                                 algorithm->alignment[i], "ABCD"[i]));
        }
    }

    return CUBLAS_STATUS_SUCCESS;
}

EXPORT int cublasLtMatmul(void* handle, const MatmulDescription* description, const float* alpha, const void* a, const Layout* layout_a, const void* b, const Layout* layout_b, const float* beta,
                          const void* c, const Layout* layout_c, void* d, const Layout* layout_d, const Algorithm* algorithm, void*, size_t, void* stream_handle)
{
    Guard guard(lock);
    Context* context = current_context();
    std::shared_ptr<Stream> stream = context == nullptr ? nullptr : find_stream(context, stream_handle);
    if (handle == nullptr || stream == nullptr)
    {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }

    Product p = {*description, *alpha, *beta, (const char*)a, (const char*)b, (const char*)c, (char*)d, *layout_a, *layout_b, *layout_c, *layout_d};
    int status = p.check_description();
    status = status == CUBLAS_STATUS_SUCCESS ? check_algorithm(algorithm, p) : status;
    if (status != CUBLAS_STATUS_SUCCESS || !p.operands_live())
    {
        return status != CUBLAS_STATUS_SUCCESS ? status : (int)CUBLAS_STATUS_INVALID_VALUE;
    }

    return submit(stream, "cublasLtMatmul", [p] { return p.run(); }) == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
