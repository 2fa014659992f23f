// cublaslt.cpp: the ABI of cublasLt for matrix products with a bias. Through the stream's queue, so that lazy streams and graphs see it as any other work.
#include <cstring>
#include <memory>
#include "product.h"
#include "streams.h"

namespace emu
{
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
