// state.h: what the parts of the emulator share: the lock, the modes, the report of the last error.
#pragma once
#include <mutex>
#include <string>
#include "cuda_abi.h"

namespace emu
{
enum class Order
{
    Forward,
    Reverse,
    Random
};

struct Modes
{
    bool checked = false;
    bool lazy = false;
    Order order = Order::Forward;
    uint64_t seed = 1;
};

extern Modes modes;
extern long launches;

// One lock around every entry point that touches the state: kernels run one at a time, so results do not depend on host threads.
extern std::recursive_mutex lock;
typedef std::lock_guard<std::recursive_mutex> Guard;

// Reads GRAFT_EMU_CHECKED, GRAFT_EMU_LAZY, GRAFT_EMU_SCHEDULE; false for a value that is not known.
bool set_mode(const std::string& name, const std::string& value);
void read_modes();
long environment_number(const char* name, long otherwise);

// Writes to standard error and keeps the text for emuLastReport.
void report(const std::string& text);
std::string format(const char* text, ...) __attribute__((format(printf, 1, 2)));

// Hash of the emulator's own sources and compiler, by build.sh: part of the cache key and of every module.
const char* build_hash();
uint64_t hash64(const void* data, size_t bytes, uint64_t seed);
} // namespace emu
