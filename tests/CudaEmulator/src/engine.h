// engine.h: blocks on the CPU. The threads of a block are fibers of the calling thread; one leaves the processor only in a barrier, in a warp operation or at its end.
#pragma once
#include <vector>
#include "../shim/table.h"
#include "state.h"

namespace emu
{
struct Module;

// A copy of cp.async: run at the latest moment the program allows, its target poisoned until then.
struct AsyncCopy
{
    char* to;
    const char* from;
    bool valid;
    int line;
    long group;
};

enum class FiberState : unsigned char
{
    Unstarted,
    Running,
    Ready,
    Waiting,
    Exited
};

struct Fiber : EmuThread
{
    void* stack_pointer;
    int stack;
    unsigned linear, warp;
    FiberState state;
    const char* waits_in;
    int line;
    long open_group; // of asynchronous copies
    std::vector<AsyncCopy> copies;
};

struct Launch
{
    Module* module;
    const char* kernel;
    void (*thunk)(void**);
    void** parameters;
    EmuIndex grid, block;
    unsigned dynamic_bytes;
};

// Runs all blocks; 0 or an error, which has been reported.
CUresult run_launch(const Launch& launch);

struct Engine
{
    const Launch* launch = nullptr;
    Fiber* current = nullptr;  // null while the host's own stack runs
    unsigned threads = 0, exited = 0;
    Fiber fibers[1024];
    unsigned order[1024];      // threads as the schedule has them
    EmuBlock block;
    unsigned long block_number = 0;
    unsigned barrier_epoch = 0;
    unsigned warp_epochs[32];
    char *shared = nullptr, *shared_end = nullptr;   // static
    char *dynamic = nullptr, *dynamic_end = nullptr; // exactly the bytes asked for
};

extern Engine engine;

// Ends the launch: the report names kernel, block and thread. For use on a fiber.
[[noreturn]] void fail(CUresult error, const std::string& text);
std::string where(const Fiber* fiber);

// For the operations: gives the processor away until made ready; makes a waiting fiber ready.
void wait_here(const char* what, int line);
void make_ready(Fiber* fiber);
bool in_shared(const void* address, size_t bytes);
char* fiber_stack_low(int stack);
char* fiber_stack_high(int stack);

// Fault handling (faults.cpp)
void install_fault_handlers();
struct FaultScope
{
    FaultScope();
    ~FaultScope();
};

extern "C" void emu_land(); // where a faulting fiber continues: leaves the launch
CUresult pending_fault(std::string& text);

void reset_block_operations(); // barriers.cpp, warp.cpp
void reset_warps();
extern const EmuTable table;
} // namespace emu
