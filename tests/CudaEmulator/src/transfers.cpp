// transfers.cpp: the driver's entry points for memory: allocation, copies, fills, pools.
#include <cstring>
#include "checked.h"
#include "memory.h"
#include "streams.h"

EXPORT CUresult cuStreamSynchronize(void* handle);

using namespace emu;

// A range that is wrong at the call is refused; one that has become wrong when a queued operation runs is an illegal address.
static CUresult check(const void* address, size_t bytes, const char* what)
{
    return inside(address, bytes, what) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult allocate_here(Context* context, CUdeviceptr* address, size_t bytes)
{
    if (address == nullptr || bytes == 0)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    char* base = allocate(context->device, bytes);
    if (base == nullptr)
    {
        return CUDA_ERROR_OUT_OF_MEMORY;
    }

    *address = (CUdeviceptr)base;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes)
{
    EMU_WORKING_CONTEXT(context);
    if (capturing_globally())
    {
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }

    return allocate_here(context, address, bytes);
}

// Waits for the device, as the driver does.
EXPORT CUresult cuMemFree_v2(CUdeviceptr address)
{
    EMU_CONTEXT(context);
    if (capturing_globally())
    {
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }

    drain_device(context);
    if (address != 0 && !release((char*)address))
    {
        report(format("cuMemFree: %p is not the start of a live allocation", (void*)address));
        return CUDA_ERROR_INVALID_VALUE;
    }

    return context->sticky;
}

EXPORT CUresult cuMemAllocAsync(CUdeviceptr* address, size_t bytes, void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    if (stream->capture != nullptr)
    {
        report("cuMemAllocAsync during capture: memory nodes are not emulated");
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }

    CUresult result = allocate_here(stream->context, address, bytes);
    if (result == CUDA_ERROR_OUT_OF_MEMORY && modes.lazy)
    {
        // What was freed in stream order counts as free.
        drain_device(stream->context);
        result = stream->context->sticky != CUDA_SUCCESS ? stream->context->sticky : allocate_here(stream->context, address, bytes);
    }

    return result;
}

EXPORT CUresult cuMemFreeAsync(CUdeviceptr address, void* handle)
{
    EMU_CONTEXT(context);
    EMU_STREAM(stream, handle);
    if (stream->capture != nullptr)
    {
        report("cuMemFreeAsync during capture: memory nodes are not emulated");
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }

    const Allocation* a = find_allocation((void*)address);
    if (a == nullptr || a->base != (char*)address)
    {
        report(format("cuMemFreeAsync: %p is not the start of a live allocation", (void*)address));
        return CUDA_ERROR_INVALID_VALUE;
    }

    if (context->sticky != CUDA_SUCCESS)
    {
        release((char*)address);
        return context->sticky;
    }

    return submit(stream, "free", [address] { return release((char*)address) ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS; });
}

EXPORT CUresult cuMemGetInfo_v2(size_t* free, size_t* total)
{
    EMU_WORKING_CONTEXT(context);
    *total = device_memory();
    *free = *total - used_memory(context->device);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address)
{
    EMU_WORKING_CONTEXT(context);
    const Allocation* a = find_allocation((void*)address);
    if (a == nullptr)
    {
        return CUDA_ERROR_NOT_FOUND;
    }

    if (base != nullptr)
    {
        *base = (CUdeviceptr)a->base;
    }

    if (bytes != nullptr)
    {
        *bytes = a->bytes;
    }

    return CUDA_SUCCESS;
}

// ---- pinned memory --------------------------------------------------------------------------------------------------------------------------------
EXPORT CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned)
{
    EMU_WORKING_CONTEXT(context);
    if (address == nullptr || bytes == 0)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    *address = allocate_pinned(bytes);
    return *address == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

EXPORT CUresult cuMemFreeHost(void* address)
{
    EMU_CONTEXT(context);
    drain_device(context);
    return release_pinned((char*)address) ? context->sticky : CUDA_ERROR_INVALID_VALUE;
}

EXPORT CUresult cuMemHostRegister_v2(void* address, size_t bytes, unsigned)
{
    EMU_WORKING_CONTEXT(context);
    return register_pinned((char*)address, bytes) ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
}

EXPORT CUresult cuMemHostUnregister(void* address)
{
    EMU_CONTEXT(context);
    drain_device(context);
    return unregister_pinned((char*)address) ? context->sticky : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}

EXPORT CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* address, void* host, unsigned)
{
    *address = (CUdeviceptr)host;
    return CUDA_SUCCESS;
}

// ---- copies ---------------------------------------------------------------------------------------------------------------------------------------
static std::function<CUresult()> copy_to_device(CUdeviceptr to, const void* from, size_t bytes)
{
    return [=] {
        if (!inside((void*)to, bytes, "copy to the device"))
        {
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        }

        memcpy((void*)to, from, bytes);
        shadow_host_write((void*)to, bytes);
        return CUDA_SUCCESS;
    };
}

static std::function<CUresult()> copy_from_device(void* to, CUdeviceptr from, size_t bytes)
{
    return [=] {
        if (!inside((void*)from, bytes, "copy from the device"))
        {
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        }

        memcpy(to, (void*)from, bytes);
        return CUDA_SUCCESS;
    };
}

static std::function<CUresult()> copy_on_device(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    return [=] {
        if (!inside((void*)to, bytes, "target of a copy on the device") || !inside((void*)from, bytes, "source of a copy on the device"))
        {
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        }

        memmove((void*)to, (void*)from, bytes);
        shadow_copy((char*)to, (const char*)from, bytes);
        return CUDA_SUCCESS;
    };
}

static CUresult submit_to_device(const std::shared_ptr<Stream>& stream, CUdeviceptr to, const void* from, size_t bytes)
{
    if (CUresult error = check((void*)to, bytes, "copy to the device"))
    {
        return error;
    }

    // The driver takes pageable memory before it returns; pinned memory it reads later, so it must not change until then.
    if (modes.lazy && stream->capture == nullptr && !is_pinned(from))
    {
        auto staged = std::make_shared<std::vector<char>>((const char*)from, (const char*)from + bytes);
        return submit(stream, "copy to the device", [=] { return copy_to_device(to, staged->data(), bytes)(); });
    }

    return submit(stream, "copy to the device", copy_to_device(to, from, bytes));
}

static CUresult submit_from_device(const std::shared_ptr<Stream>& stream, void* to, CUdeviceptr from, size_t bytes)
{
    if (CUresult error = check((void*)from, bytes, "copy from the device"))
    {
        return error;
    }

    CUresult result = submit(stream, "copy from the device", copy_from_device(to, from, bytes));
    if (result == CUDA_SUCCESS && modes.lazy && stream->capture == nullptr)
    {
        memset(to, 0xFF, bytes);
    }

    return result;
}

EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes)
{
    EMU_WORKING_CONTEXT(context);
    CUresult result = submit_to_device(context->null_stream, to, from, bytes);
    return result != CUDA_SUCCESS ? result : drain(*context->null_stream, context->null_stream->submitted);
}

EXPORT CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes)
{
    EMU_WORKING_CONTEXT(context);
    CUresult result = submit_from_device(context->null_stream, to, from, bytes);
    return result != CUDA_SUCCESS ? result : drain(*context->null_stream, context->null_stream->submitted);
}

static CUresult submit_on_device(const std::shared_ptr<Stream>& stream, CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    CUresult error = check((void*)to, bytes, "target of a copy on the device");
    error = error != CUDA_SUCCESS ? error : check((void*)from, bytes, "source of a copy on the device");
    return error != CUDA_SUCCESS ? error : submit(stream, "copy on the device", copy_on_device(to, from, bytes));
}

EXPORT CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    EMU_WORKING_CONTEXT(context);
    return submit_on_device(context->null_stream, to, from, bytes);
}

EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    return submit_to_device(stream, to, from, bytes);
}

EXPORT CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    return submit_from_device(stream, to, from, bytes);
}

EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    return submit_on_device(stream, to, from, bytes);
}

EXPORT CUresult cuMemcpyPeerAsync(CUdeviceptr to, void* to_context, CUdeviceptr from, void* from_context, size_t bytes, void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    const Allocation *a = find_allocation((void*)to), *b = find_allocation((void*)from);
    if (a == nullptr || b == nullptr || a->device != ((Context*)to_context)->device || b->device != ((Context*)from_context)->device)
    {
        report("cuMemcpyPeerAsync: an address is not of the context's device");
        return CUDA_ERROR_INVALID_VALUE;
    }

    return submit_on_device(stream, to, from, bytes);
}

// CUDA_MEMCPY2D of cuda.h.
struct Copy2D
{
    size_t from_x, from_y;
    int from_type; // 1 host, 2 device
    const void* from_host;
    CUdeviceptr from_device;
    void* from_array;
    size_t from_pitch;
    size_t to_x, to_y;
    int to_type;
    void* to_host;
    CUdeviceptr to_device;
    void* to_array;
    size_t to_pitch, width, height;
};

EXPORT CUresult cuMemcpy2DAsync_v2(const Copy2D* copy, void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    Copy2D c = *copy;
    bool types = (c.from_type == 1 || c.from_type == 2) && (c.to_type == 1 || c.to_type == 2);
    if (!types || c.width == 0 || c.height == 0 || (c.height > 1 && (c.width > c.from_pitch || c.width > c.to_pitch)))
    {
        return c.width == 0 || c.height == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    }

    const char* from = (c.from_type == 1 ? (const char*)c.from_host : (const char*)c.from_device) + c.from_y * c.from_pitch + c.from_x;
    char* to = (c.to_type == 1 ? (char*)c.to_host : (char*)c.to_device) + c.to_y * c.to_pitch + c.to_x;
    CUresult error = c.from_type == 2 ? check(from, (c.height - 1) * c.from_pitch + c.width, "source of a 2D copy") : CUDA_SUCCESS;
    error = error == CUDA_SUCCESS && c.to_type == 2 ? check(to, (c.height - 1) * c.to_pitch + c.width, "target of a 2D copy") : error;
    if (error != CUDA_SUCCESS)
    {
        return error;
    }

    return submit(stream, "2D copy", [=] {
        if ((c.from_type == 2 && find_allocation(from) == nullptr) || (c.to_type == 2 && find_allocation(to) == nullptr))
        {
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        }

        for (size_t row = 0; row < c.height; row++)
        {
            memmove(to + row * c.to_pitch, from + row * c.from_pitch, c.width);
            if (c.to_type == 2)
            {
                shadow_host_write(to + row * c.to_pitch, c.width);
            }
        }

        return CUDA_SUCCESS;
    });
}

EXPORT CUresult cuMemcpy2D_v2(const Copy2D* copy)
{
    CUresult result = cuMemcpy2DAsync_v2(copy, nullptr);
    return result != CUDA_SUCCESS ? result : cuStreamSynchronize(nullptr);
}

// ---- fills ----------------------------------------------------------------------------------------------------------------------------------------
template <typename T>
static CUresult fill(CUdeviceptr to, T value, size_t count, void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    if (to % sizeof(T) != 0)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    if (CUresult error = check((void*)to, count * sizeof(T), "fill"))
    {
        return error;
    }

    return submit(stream, "fill", [=] {
        if (!inside((void*)to, count * sizeof(T), "fill"))
        {
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        }

        std::fill_n((T*)to, count, value);
        shadow_host_write((void*)to, count * sizeof(T));
        return CUDA_SUCCESS;
    });
}

EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, void* stream)
{
    return fill(to, value, count, stream);
}

EXPORT CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count, void* stream)
{
    return fill(to, value, count, stream);
}

EXPORT CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, void* stream)
{
    return fill(to, value, count, stream);
}

EXPORT CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count)
{
    return fill(to, value, count, nullptr);
}

EXPORT CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t count)
{
    return fill(to, value, count, nullptr);
}

// ---- pools: one per device, which keeps nothing back ------------------------------------------------------------------------------------------------
static int pools[max_devices];

EXPORT CUresult cuDeviceGetDefaultMemPool(void** pool, CUdevice device)
{
    if (device < 0 || device >= device_count())
    {
        return CUDA_ERROR_INVALID_DEVICE;
    }

    *pool = &pools[device];
    return CUDA_SUCCESS;
}

static bool is_pool(void* pool)
{
    return pool >= pools && pool < pools + max_devices;
}

EXPORT CUresult cuMemPoolSetAttribute(void* pool, int attribute, void* value)
{
    return is_pool(pool) && attribute >= 1 && attribute <= 8 && value != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

EXPORT CUresult cuMemPoolTrimTo(void* pool, size_t)
{
    return is_pool(pool) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
