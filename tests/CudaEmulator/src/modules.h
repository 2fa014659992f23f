// modules.h: loaded kernel modules, and the image that NVRTC makes for them.
#pragma once
#include <map>
#include <memory>
#include "engine.h"
#include "streams.h"

namespace emu
{
// What a "cubin" begins with; the ELF file and the rewritten text follow. The hash is the emulator's: an image of another build is refused.
struct ImageHeader
{
    char magic[8]; // "GRAFTEMU"
    uint64_t hash;
    uint64_t bytes;      // of the ELF file
    uint64_t text_bytes; // of the text
    unsigned architecture; // 90 for sm_90
    unsigned flags; // 1: sm_90a; 2: compute_90, for any newer device
};

constexpr unsigned image_specific = 1, image_virtual = 2;

uint64_t image_hash();

struct Function
{
    Module* module;
    std::string name;
    void (*thunk)(void**);
    std::vector<int> sizes;
    int dynamic_limit = 49152;
};

struct Module
{
    Context* context; // null for a library: any
    void* handle;
    int file;
    EmuThread** thread;
    EmuBlock* block;
    char** dynamic_shared;
    char *shared, *shared_end;
    const char *first, *end; // as mapped
    std::map<std::string, std::unique_ptr<Function>> functions;

    ~Module();
};
} // namespace emu
