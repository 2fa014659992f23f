// modules.cpp: loading images, finding functions, launching.
#include "modules.h"
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>
#include "compiler.h"
#include "memory.h"

namespace emu
{
// Never destroyed: the process may end while other threads still use the driver.
static std::map<void*, std::shared_ptr<Module>>& modules = *new std::map<void*, std::shared_ptr<Module>>;
static std::map<void*, Function*>& functions = *new std::map<void*, Function*>;

uint64_t image_hash()
{
    return hash64(build_hash(), strlen(build_hash()), 1);
}

Module::~Module()
{
    for (auto& entry : functions)
    {
        emu::functions.erase(entry.second.get());
    }

    dlclose(handle);
    close(file); // after dlclose: the loader would take a reused descriptor for the same file
}

static CUresult check_header(const ImageHeader& h, int cc)
{
    if (memcmp(h.magic, "GRAFTEMU", 8) != 0)
    {
        report("this image was not compiled by the emulator's NVRTC");
        return CUDA_ERROR_INVALID_IMAGE;
    }

    if (h.hash != image_hash())
    {
        report("this image was compiled by another build of the emulator: compile it again");
        return CUDA_ERROR_INVALID_IMAGE;
    }

    int architecture = (int)h.architecture;
    bool runs = h.flags & image_specific ? architecture == cc : h.flags & image_virtual ? architecture <= cc : architecture / 10 == cc / 10 && architecture <= cc;
    return runs ? CUDA_SUCCESS : CUDA_ERROR_NO_BINARY_FOR_GPU;
}

// Where the module's own data lies: constants and tables of the kernels.
static void find_range(Module& m)
{
    link_map* map = nullptr;
    dlinfo(m.handle, RTLD_DI_LINKMAP, &map);
    const ElfW(Ehdr)* elf = (const ElfW(Ehdr)*)map->l_addr;
    const ElfW(Phdr)* segments = (const ElfW(Phdr)*)(map->l_addr + elf->e_phoff);
    m.first = (const char*)map->l_addr;
    m.end = m.first;
    for (int i = 0; i < elf->e_phnum; i++)
    {
        if (segments[i].p_type == PT_LOAD)
        {
            m.end = std::max(m.end, m.first + segments[i].p_vaddr + segments[i].p_memsz);
        }
    }
}

static CUresult load(const void* image, Context* context, void** result)
{
    ImageHeader h;
    memcpy(&h, image, sizeof(h));
    if (CUresult error = check_header(h, (int)environment_number("GRAFT_EMU_CC", 90)))
    {
        return error;
    }

    int file = memfd_create("graft-emulator-module", MFD_CLOEXEC);
    std::string elf((const char*)image + sizeof(h), h.bytes), log;
    if (modes.checked && !build_object(std::string((const char*)image + sizeof(h) + h.bytes, h.text_bytes), true, log, elf))
    {
        report("the kernels do not compile in checked mode: " + log);
        return CUDA_ERROR_INVALID_IMAGE;
    }

    if (file < 0 || write(file, elf.data(), elf.size()) != (ssize_t)elf.size())
    {
        report("no memory file for a module");
        return CUDA_ERROR_OUT_OF_MEMORY;
    }

    void* handle = dlopen(format("/proc/self/fd/%d", file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr)
    {
        report(format("module: %s", dlerror()));
        close(file);
        return CUDA_ERROR_INVALID_IMAGE;
    }

    auto m = std::make_shared<Module>();
    m->context = context;
    m->handle = handle;
    m->file = file;
    m->thread = (EmuThread**)dlsym(handle, "emu_thread");
    m->block = (EmuBlock*)dlsym(handle, "emu_block");
    m->dynamic_shared = (char**)dlsym(handle, "emu_dynamic_shared");
    *(const EmuTable**)dlsym(handle, "emu_table") = &table;
    void (*range)(char**, char**) = (void (*)(char**, char**))dlsym(handle, "emu_shared_range");
    range(&m->shared, &m->shared_end);
    find_range(*m);
    modules[m.get()] = m;
    *result = m.get();
    return CUDA_SUCCESS;
}

static CUresult find_function(Function** result, Module* m, const char* name)
{
    auto known = m->functions.find(name);
    if (known != m->functions.end())
    {
        *result = known->second.get();
        return CUDA_SUCCESS;
    }

    auto f = std::make_unique<Function>();
    f->module = m;
    f->name = name;
    f->thunk = (void (*)(void**))dlsym(m->handle, ("emu_thunk_" + f->name).c_str());
    int (*sizes)(int*) = (int (*)(int*))dlsym(m->handle, ("emu_sizes_" + f->name).c_str());
    if (f->thunk == nullptr || sizes == nullptr)
    {
        return CUDA_ERROR_NOT_FOUND;
    }

    int all[1024];
    f->sizes.assign(all, all + sizes(all));
    *result = f.get();
    functions[f.get()] = f.get();
    m->functions[name] = std::move(f);
    return CUDA_SUCCESS;
}

static Function* live_function(void* handle)
{
    auto entry = functions.find(handle);
    return entry == functions.end() ? nullptr : entry->second;
}

// Parameters are copied at the launch; the module stays loaded until the launch has run.
struct Queued
{
    std::shared_ptr<Module> module;
    Function* function;
    EmuIndex grid, block;
    unsigned dynamic_bytes;
    std::vector<char> bytes;
    std::vector<size_t> offsets;

    CUresult run()
    {
        std::vector<void*> parameters;
        for (size_t offset : offsets)
        {
            parameters.push_back(bytes.data() + offset);
        }

        return run_launch({module.get(), function->name.c_str(), function->thunk, parameters.data(), grid, block, dynamic_bytes});
    }
};

static CUresult check_launch(const Function& f, EmuIndex grid, EmuIndex block, unsigned dynamic_bytes)
{
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    {
        report(format("launch of %s: grid (%u, %u, %u) or block (%u, %u, %u) is outside of the limits", f.name.c_str(), grid.x, grid.y, grid.z, block.x, block.y, block.z));
        return CUDA_ERROR_INVALID_VALUE;
    }

    if ((int64_t)dynamic_bytes > f.dynamic_limit)
    {
        report(format("launch of %s: %u bytes of dynamic shared memory, and the function may have %d (cuFuncSetAttribute)", f.name.c_str(), dynamic_bytes, f.dynamic_limit));
        return CUDA_ERROR_INVALID_VALUE;
    }

    return CUDA_SUCCESS;
}
} // namespace emu

using namespace emu;

EXPORT CUresult cuModuleLoadData(void** module, const void* image)
{
    EMU_WORKING_CONTEXT(context);
    return load(image, context, module);
}

EXPORT CUresult cuModuleLoadDataEx(void** module, const void* image, unsigned, int*, void**)
{
    return cuModuleLoadData(module, image);
}

EXPORT CUresult cuModuleUnload(void* module)
{
    EMU_CONTEXT(context);
    drain_device(context);
    return modules.erase(module) != 0 ? context->sticky : CUDA_ERROR_INVALID_HANDLE;
}

EXPORT CUresult cuModuleGetFunction(void** function, void* module, const char* name)
{
    EMU_WORKING_CONTEXT(context);
    return modules.count(module) != 0 ? find_function((Function**)function, (Module*)module, name) : CUDA_ERROR_INVALID_HANDLE;
}

EXPORT CUresult cuModuleGetGlobal_v2(CUdeviceptr*, size_t*, void* module, const char* name)
{
    EMU_WORKING_CONTEXT(context);
    report(format("cuModuleGetGlobal(%s): device variables have no address outside of their file in emulation", name));
    return modules.count(module) != 0 ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_INVALID_HANDLE;
}

// ---- libraries: modules of no context -------------------------------------------------------------------------------------------------------------
EXPORT CUresult cuLibraryLoadData(void** library, const void* image, int*, void**, unsigned, int*, void**, unsigned)
{
    Guard guard(lock);
    return load(image, nullptr, library);
}

EXPORT CUresult cuLibraryUnload(void* library)
{
    Guard guard(lock);
    for (int device = 0; device < device_count(); device++)
    {
        drain_device(primary_context(device));
    }

    return modules.erase(library) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

EXPORT CUresult cuLibraryGetKernel(void** kernel, void* library, const char* name)
{
    Guard guard(lock);
    return modules.count(library) != 0 ? find_function((Function**)kernel, (Module*)library, name) : CUDA_ERROR_INVALID_HANDLE;
}

EXPORT CUresult cuKernelGetFunction(void** function, void* kernel)
{
    Guard guard(lock);
    *function = kernel;
    return live_function(kernel) != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

// ---- functions ------------------------------------------------------------------------------------------------------------------------------------
static int shared_limit()
{
    return environment_number("GRAFT_EMU_CC", 90) == 90 ? 232448 : 166912;
}

EXPORT CUresult cuFuncSetAttribute(void* function, int attribute, int value)
{
    EMU_WORKING_CONTEXT(context);
    Function* f = live_function(function);
    if (f == nullptr)
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    if (attribute == 8)
    {
        if (value < 0 || value > shared_limit())
        {
            return CUDA_ERROR_INVALID_VALUE;
        }

        f->dynamic_limit = std::max(value, 49152);
    }

    return attribute == 8 || attribute == 9 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// Registers are no property of an emulated kernel: 32, as a plausible number. Static shared memory is that of the whole file.
EXPORT CUresult cuFuncGetAttribute(int* value, int attribute, void* function)
{
    EMU_WORKING_CONTEXT(context);
    Function* f = live_function(function);
    if (f == nullptr)
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    switch (attribute)
    {
    case 0:
        *value = 1024;
        return CUDA_SUCCESS;
    case 1:
        *value = (int)(f->module->shared_end - f->module->shared);
        return CUDA_SUCCESS;
    case 4:
        *value = 32;
        return CUDA_SUCCESS;
    case 5:
    case 6:
        *value = (int)environment_number("GRAFT_EMU_CC", 90);
        return CUDA_SUCCESS;
    case 8:
        *value = f->dynamic_limit;
        return CUDA_SUCCESS;
    default:
        *value = 0;
        return attribute >= 0 && attribute <= 15 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    }
}

EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* function, int threads, size_t dynamic_bytes)
{
    EMU_WORKING_CONTEXT(context);
    if (live_function(function) == nullptr)
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    if (threads <= 0 || threads > 1024)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    size_t by_shared = ((size_t)shared_limit() + 1024) / (dynamic_bytes + 1024);
    *blocks = (int)std::min({(size_t)32, (size_t)(2048 / threads), by_shared});
    return CUDA_SUCCESS;
}

EXPORT CUresult cuLaunchKernel(
    void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z, unsigned dynamic_bytes, void* handle, void** parameters, void** extra)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    Function* f = live_function(function);
    if (f == nullptr || stream->context != context || (f->module->context != nullptr && f->module->context != context))
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    auto queued = std::make_shared<Queued>();
    queued->grid = {grid_x, grid_y, grid_z};
    queued->block = {block_x, block_y, block_z};
    if (CUresult error = check_launch(*f, queued->grid, queued->block, dynamic_bytes))
    {
        return error;
    }

    if (extra != nullptr || (parameters == nullptr && !f->sizes.empty()))
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    queued->module = modules[f->module];
    queued->function = f;
    queued->dynamic_bytes = dynamic_bytes;
    for (size_t i = 0; i < f->sizes.size(); i++)
    {
        size_t offset = (queued->bytes.size() + 15) / 16 * 16;
        queued->bytes.resize(offset + (size_t)f->sizes[i]);
        memcpy(queued->bytes.data() + offset, parameters[i], (size_t)f->sizes[i]);
        queued->offsets.push_back(offset);
    }

    return submit(stream, f->name.c_str(), [queued] { return queued->run(); });
}
