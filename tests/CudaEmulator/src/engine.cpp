// engine.cpp: fibers and the order in which blocks and threads run.
#include "engine.h"
#include <sys/mman.h>
#include <algorithm>
#include <cstring>
#include "checked.h"
#include "copies.h"
#include "memory.h"
#include "modules.h"

#ifndef __x86_64__
#error "The emulator switches fibers in x86-64 assembly; another processor needs emu_switch, first_frame and the two registers in faults.cpp."
#endif

// Saves the callee-saved registers on the stack, leaves the stack pointer in *save and continues where `to` was left.
extern "C" void emu_switch(void** save, void* to);
asm(R"(
.text
.hidden emu_switch
.globl emu_switch
.type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch, .-emu_switch
)");

namespace emu
{
Engine engine;

constexpr size_t stack_bytes = 128 << 10, stack_guard = 4096;
constexpr unsigned dynamic_limit = 232448;
static char* stacks;
static int free_stacks[1024];
static int free_stack_count;
static void* host_stack_pointer;
static void* lost_stack_pointer;

static unsigned ready[1024]; // ring of fibers that may continue
static unsigned ready_first, ready_count, next_unstarted;

static CUresult failure;
static std::string failure_text;

char* fiber_stack_low(int stack)
{
    return stacks + stack * (stack_bytes + stack_guard) + stack_guard;
}

char* fiber_stack_high(int stack)
{
    return fiber_stack_low(stack) + stack_bytes;
}

static void prepare_stacks()
{
    if (stacks == nullptr)
    {
        size_t all = 1024 * (stack_bytes + stack_guard);
        stacks = (char*)mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        for (int i = 0; i < 1024; i++)
        {
            mprotect(fiber_stack_low(i) - stack_guard, stack_guard, PROT_NONE);
        }
    }
}

// Dynamic shared memory ends at an inaccessible page.
static char* dynamic_memory_end()
{
    static char* end;
    if (end == nullptr)
    {
        size_t bytes = dynamic_limit + 4096 - dynamic_limit % 4096;
        char* memory = (char*)mmap(nullptr, bytes + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(memory + 4096, bytes, PROT_READ | PROT_WRITE);
        end = memory + 4096 + bytes;
    }

    return end;
}

bool in_shared(const void* address, size_t bytes)
{
    char* p = (char*)address;
    return (p >= engine.shared && p + bytes <= engine.shared_end) || (p >= engine.dynamic && p + bytes <= engine.dynamic_end);
}

std::string where(const Fiber* f)
{
    const EmuIndex &b = engine.block.index, &t = f->index;
    return format("kernel %s, block (%u, %u, %u), thread (%u, %u, %u)", engine.launch->kernel, b.x, b.y, b.z, t.x, t.y, t.z);
}

[[noreturn]] static void leave()
{
    emu_switch(&lost_stack_pointer, host_stack_pointer);
    __builtin_unreachable();
}

void fail(CUresult error, const std::string& text)
{
    failure = error;
    failure_text = text + ": " + where(engine.current);
    leave();
}

extern "C" void emu_land()
{
    leave();
}

// ---- switching ------------------------------------------------------------------------------------------------------------------------------------
static void run_threads();

static void set_current(Fiber* f)
{
    engine.current = f;
    f->state = FiberState::Running;
    *engine.launch->module->thread = f;
}

// A stack on which `ret` enters run_threads; starts differ so that fibers do not fight for the same cache sets.
static void first_frame(Fiber* f)
{
    f->stack = free_stacks[--free_stack_count];
    char* top = fiber_stack_high(f->stack) - f->stack * 192 % 4096 / 64 * 64;
    void** sp = (void**)top;
    *--sp = nullptr; // return address of run_threads: none
    *--sp = (void*)run_threads;
    sp -= 6;
    memset(sp, 0, 6 * sizeof(void*));
    f->stack_pointer = sp;
}

static Fiber* take_next()
{
    if (ready_count > 0)
    {
        Fiber* f = &engine.fibers[ready[ready_first]];
        ready_first = (ready_first + 1) & 1023;
        ready_count--;
        return f;
    }

    return next_unstarted < engine.threads ? &engine.fibers[engine.order[next_unstarted++]] : nullptr;
}

void make_ready(Fiber* f)
{
    f->state = FiberState::Ready;
    ready[(ready_first + ready_count++) & 1023] = f->linear;
}

[[noreturn]] static void report_deadlock()
{
    std::string text = "deadlock: ";
    if (engine.exited > 0)
    {
        text += format("%u threads exited; ", engine.exited);
    }

    // One phrase per place, in the order of the threads.
    std::vector<std::pair<const Fiber*, unsigned>> places;
    for (unsigned i = 0; i < engine.threads; i++)
    {
        const Fiber* f = &engine.fibers[i];
        if (f->state == FiberState::Waiting)
        {
            auto same = std::find_if(places.begin(), places.end(), [f](auto& p) { return p.first->line == f->line && p.first->waits_in == f->waits_in; });
            if (same == places.end())
            {
                places.emplace_back(f, 1);
            }
            else
            {
                same->second++;
            }
        }
    }

    for (size_t i = 0; i < places.size() && i < 6; i++)
    {
        text += format("%s%u threads waiting in %s at line %d", i == 0 ? "" : "; ", places[i].second, places[i].first->waits_in, places[i].first->line);
    }

    engine.current = (Fiber*)places[0].first;
    fail(CUDA_ERROR_LAUNCH_FAILED, text);
}

static void resume(Fiber* from, Fiber* to)
{
    if (to->state == FiberState::Unstarted)
    {
        first_frame(to);
    }

    set_current(to);
    emu_switch(&from->stack_pointer, to->stack_pointer);
}

void wait_here(const char* what, int line)
{
    Fiber* me = engine.current;
    if (me->state == FiberState::Running)
    {
        me->state = FiberState::Waiting;
    }

    me->waits_in = what;
    me->line = line;
    Fiber* next = take_next();
    if (next == me)
    {
        me->state = FiberState::Running;
        return;
    }

    if (next == nullptr)
    {
        report_deadlock();
    }

    resume(me, next);
}

// The life of a stack: threads that never block run one after the other on it, without any switch.
static void run_threads()
{
    for (;;)
    {
        Fiber* me = engine.current;
        engine.launch->thunk(engine.launch->parameters);
        if (modes.checked)
        {
            shadow_thread_event();
        }

        if (!me->copies.empty())
        {
            copies_at_exit();
        }

        me->state = FiberState::Exited;
        engine.exited++;
        Fiber* next = take_next();
        if (next == nullptr)
        {
            if (engine.exited < engine.threads)
            {
                report_deadlock();
            }

            free_stacks[free_stack_count++] = me->stack;
            leave();
        }

        if (next->state == FiberState::Unstarted)
        {
            next->stack = me->stack;
            set_current(next);
            continue;
        }

        free_stacks[free_stack_count++] = me->stack;
        set_current(next);
        emu_switch(&lost_stack_pointer, next->stack_pointer);
    }
}

// ---- order ----------------------------------------------------------------------------------------------------------------------------------------
static uint64_t random_state;

static uint64_t random_number()
{
    random_state += 0x9E3779B97F4A7C15u; // splitmix64
    uint64_t z = random_state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void shuffle(unsigned* items, unsigned count)
{
    for (unsigned i = count; i > 1; i--)
    {
        std::swap(items[i - 1], items[random_number() % i]);
    }
}

// Warps stay together: a kernel without barriers then needs the stacks of one warp only.
static void order_threads()
{
    unsigned n = engine.threads;
    if (modes.order != Order::Random)
    {
        for (unsigned i = 0; i < n; i++)
        {
            engine.order[i] = modes.order == Order::Reverse ? n - 1 - i : i;
        }

        return;
    }

    unsigned warps[32], count = (n + 31) / 32, at = 0;
    for (unsigned w = 0; w < count; w++)
    {
        warps[w] = w;
    }

    shuffle(warps, count);
    for (unsigned w = 0; w < count; w++)
    {
        unsigned lanes = std::min(32u, n - warps[w] * 32);
        for (unsigned i = 0; i < lanes; i++)
        {
            engine.order[at + i] = warps[w] * 32 + i;
        }

        shuffle(engine.order + at, lanes);
        at += lanes;
    }
}

static void run_block(uint64_t number)
{
    const Launch& launch = *engine.launch;
    engine.block_number = number;
    engine.block.index = {(unsigned)(number % launch.grid.x), (unsigned)(number / launch.grid.x % launch.grid.y), (unsigned)(number / launch.grid.x / launch.grid.y)};
    *launch.module->block = engine.block;
    memset(engine.shared, 0xFF, engine.shared_end - engine.shared);
    memset(engine.dynamic, 0xFF, dynamic_memory_end() - engine.dynamic);
    if (modes.checked)
    {
        shadow_new_block();
        engine.barrier_epoch = 0;
        memset(engine.warp_epochs, 0, sizeof(engine.warp_epochs));
    }

    if (modes.order == Order::Random)
    {
        order_threads();
    }

    for (unsigned i = 0; i < engine.threads; i++)
    {
        engine.fibers[i].state = FiberState::Unstarted;
    }

    engine.exited = 0;
    ready_first = ready_count = next_unstarted = 0;
    if (free_stack_count != 1024) // the block before was abandoned
    {
        for (free_stack_count = 0; free_stack_count < 1024; free_stack_count++)
        {
            free_stacks[free_stack_count] = 1023 - free_stack_count;
        }
    }

    reset_block_operations();
    Fiber* first = take_next();
    first_frame(first);
    set_current(first);
    emu_switch(&host_stack_pointer, first->stack_pointer);
    engine.current = nullptr;
}

static bool dynamic_slack_intact()
{
    for (char* p = engine.dynamic_end; p < dynamic_memory_end(); p++)
    {
        if (*p != (char)0xFF)
        {
            failure = CUDA_ERROR_ILLEGAL_ADDRESS;
            failure_text = format("out-of-bounds write: %ld bytes past the end of %u bytes of dynamic shared memory: kernel %s", (long)(p - engine.dynamic_end), engine.launch->dynamic_bytes, engine.launch->kernel);
            return false;
        }
    }

    return true;
}

CUresult run_launch(const Launch& launch)
{
    prepare_stacks();
    launches++;
    engine.launch = &launch;
    engine.threads = launch.block.x * launch.block.y * launch.block.z;
    engine.block.size = launch.block;
    engine.block.grid = launch.grid;
    engine.shared = launch.module->shared;
    engine.shared_end = launch.module->shared_end;
    engine.dynamic = dynamic_memory_end() - (launch.dynamic_bytes + 127) / 128 * 128;
    engine.dynamic_end = engine.dynamic + launch.dynamic_bytes;
    *launch.module->dynamic_shared = engine.dynamic;
    random_state = modes.seed;
    for (unsigned i = 0; i < engine.threads; i++)
    {
        Fiber& f = engine.fibers[i];
        f.index = {i % launch.block.x, i / launch.block.x % launch.block.y, i / (launch.block.x * launch.block.y)};
        f.linear = i;
        f.lane = i & 31;
        f.warp = i >> 5;
        f.copies.clear();
        f.open_group = 0;
    }

    order_threads();
    reset_warps();
    failure = CUDA_SUCCESS;
    FaultScope faults;
    if (modes.checked)
    {
        shadow_new_launch();
    }

    uint64_t blocks = (uint64_t)launch.grid.x * launch.grid.y * launch.grid.z;
    std::vector<unsigned> shuffled;
    if (modes.order == Order::Random && blocks <= 1 << 24)
    {
        shuffled.resize(blocks);
        for (unsigned i = 0; i < blocks; i++)
        {
            shuffled[i] = i;
        }

        shuffle(shuffled.data(), (unsigned)blocks);
    }

    for (uint64_t i = 0; i < blocks && failure == CUDA_SUCCESS; i++)
    {
        run_block(!shuffled.empty() ? shuffled[i] : modes.order == Order::Reverse ? blocks - 1 - i : i);
        std::string text;
        if (CUresult fault = pending_fault(text))
        {
            failure = fault;
            failure_text = text;
        }
        else if (failure == CUDA_SUCCESS)
        {
            dynamic_slack_intact();
        }
    }

    if (failure != CUDA_SUCCESS)
    {
        report(failure_text);
        return failure;
    }

    return canaries_intact(format("after kernel %s", launch.kernel).c_str()) ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS;
}
} // namespace emu
