// device.cpp: initialisation, devices, contexts.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include "memory.h"
#include "streams.h"

namespace emu
{
static bool initialised;
static Context* const contexts = new Context[max_devices]; // never destroyed, as the registries
static thread_local std::vector<Context*> current;

Context* current_context()
{
    return !initialised || current.empty() ? nullptr : current.back();
}

Context* primary_context(int device)
{
    Context& c = contexts[device];
    if (c.null_stream == nullptr)
    {
        c.device = device;
        c.null_stream = std::make_shared<Stream>();
        c.null_stream->context = &c;
    }

    return &c;
}

void clear_sticky()
{
    for (int device = 0; device < max_devices; device++)
    {
        contexts[device].sticky = CUDA_SUCCESS;
    }
}

void lose_devices()
{
    for (int device = 0; device < max_devices; device++)
    {
        contexts[device].sticky = CUDA_ERROR_UNKNOWN;
    }
}

static bool is_context(const void* handle)
{
    return handle >= contexts && handle < contexts + max_devices;
}

static bool valid(int device)
{
    return device >= 0 && device < device_count();
}

static int compute_capability()
{
    return (int)environment_number("GRAFT_EMU_CC", 90);
}

static int attribute(int number)
{
    int cc = compute_capability(), shared = cc == 90 ? 232448 : 166912;
    switch (number)
    {
    case 1: // threads per block, then the axes of block and grid
    case 2:
    case 3:
        return 1024;
    case 4:
        return 64;
    case 5:
        return 2147483647;
    case 6:
    case 7:
        return 65535;
    case 8: // static shared memory
        return 49152;
    case 9:
        return 65536;
    case 10:
        return 32;
    case 12: // registers per block and per multiprocessor
    case 82:
        return 65536;
    case 13: // clock, kHz
        return 1000000;
    case 16: // multiprocessors
        return 4;
    case 36: // memory clock, kHz, and bus width, bits: 2 · 1 GHz · 64 bits = 16 GB/s, no claim about anything
        return 1000000;
    case 37:
        return 64;
    case 38: // L2
        return 1 << 20;
    case 39:
        return 2048;
    case 75:
        return cc / 10;
    case 76:
        return cc % 10;
    case 81:
        return shared + 1024;
    case 97:
        return shared;
    case 31: // concurrent kernels
    case 41: // unified addressing
    case 78: // priorities
    case 83: // managed memory
    case 115: // memory pools
        return 1;
    case 106: // blocks per multiprocessor
        return 32;
    default:
        return 0;
    }
}
} // namespace emu

using namespace emu;

EXPORT CUresult cuInit(unsigned flags)
{
    Guard guard(lock);
    if (flags != 0)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    if (environment_number("GRAFT_EMU_NO_DEVICE", 0) != 0)
    {
        return CUDA_ERROR_NO_DEVICE;
    }

    initialised = true;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDriverGetVersion(int* version)
{
    *version = (int)environment_number("GRAFT_EMU_DRIVER_VERSION", 12040);
    return CUDA_SUCCESS;
}

#define EMU_DEVICE(device)                        \
    if (!initialised)                             \
    {                                             \
        return CUDA_ERROR_NOT_INITIALIZED;        \
    }                                             \
    if (!valid(device))                           \
    {                                             \
        return CUDA_ERROR_INVALID_DEVICE;         \
    }

EXPORT CUresult cuDeviceGetCount(int* count)
{
    if (!initialised)
    {
        return CUDA_ERROR_NOT_INITIALIZED;
    }

    *count = device_count();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal)
{
    EMU_DEVICE(ordinal);
    *device = ordinal;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetName(char* name, int length, CUdevice device)
{
    EMU_DEVICE(device);
    if (length <= 0)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    strncpy(name, "Graft CUDA emulator (no GPU)", (size_t)length);
    name[length - 1] = 0;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetUuid_v2(unsigned char* uuid, CUdevice device)
{
    EMU_DEVICE(device);
    memcpy(uuid, "graft-emulator-0", 16);
    uuid[15] = (unsigned char)('0' + device);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetPCIBusId(char* text, int length, CUdevice device)
{
    EMU_DEVICE(device);
    strncpy(text, device == 0 ? "0000:e0:00.0" : "0000:e1:00.0", (size_t)length);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device)
{
    EMU_DEVICE(device);
    *bytes = device_memory();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetAttribute(int* value, int number, CUdevice device)
{
    EMU_DEVICE(device);
    *value = attribute(number);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer)
{
    EMU_DEVICE(device);
    EMU_DEVICE(peer);
    *can = device != peer;
    return CUDA_SUCCESS;
}

// ---- contexts -------------------------------------------------------------------------------------------------------------------------------------
EXPORT CUresult cuDevicePrimaryCtxRetain(void** context, CUdevice device)
{
    Guard guard(lock);
    EMU_DEVICE(device);
    Context* c = primary_context(device);
    c->references++;
    *context = c;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    Guard guard(lock);
    EMU_DEVICE(device);
    Context& c = contexts[device];
    if (c.references == 0)
    {
        return CUDA_ERROR_INVALID_CONTEXT;
    }

    // The last release destroys the context, and its sticky error with it.
    if (--c.references == 0)
    {
        drain_device(&c);
        c.sticky = CUDA_SUCCESS;
        c.peers.clear();
    }

    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxSetCurrent(void* context)
{
    if (context != nullptr && !is_context(context))
    {
        return CUDA_ERROR_INVALID_CONTEXT;
    }

    if (!current.empty())
    {
        current.pop_back();
    }

    if (context != nullptr)
    {
        current.push_back((Context*)context);
    }

    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetCurrent(void** context)
{
    if (!initialised)
    {
        return CUDA_ERROR_NOT_INITIALIZED;
    }

    *context = current_context();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxPushCurrent_v2(void* context)
{
    if (!is_context(context))
    {
        return CUDA_ERROR_INVALID_CONTEXT;
    }

    current.push_back((Context*)context);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxPopCurrent_v2(void** context)
{
    if (current.empty())
    {
        return CUDA_ERROR_INVALID_CONTEXT;
    }

    if (context != nullptr)
    {
        *context = current.back();
    }

    current.pop_back();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetDevice(CUdevice* device)
{
    EMU_CONTEXT(context);
    *device = context->device;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxSynchronize()
{
    EMU_WORKING_CONTEXT(context);
    if (capturing_globally())
    {
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }

    return drain_device(context);
}

EXPORT CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest)
{
    *least = *greatest = 0;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxEnablePeerAccess(void* peer, unsigned flags)
{
    EMU_WORKING_CONTEXT(context);
    if (!is_context(peer) || peer == context)
    {
        return CUDA_ERROR_INVALID_CONTEXT;
    }

    if (flags != 0)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    return context->peers.insert((Context*)peer).second ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
}

EXPORT CUresult cuCtxDisablePeerAccess(void* peer)
{
    EMU_WORKING_CONTEXT(context);
    return context->peers.erase((Context*)peer) != 0 ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}
