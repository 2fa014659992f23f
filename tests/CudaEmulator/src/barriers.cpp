// barriers.cpp: __syncthreads and its voting forms, named barriers, traps, and the table that modules call.
#include <cstdarg>
#include <cstdio>
#include "checked.h"
#include "copies.h"
#include "engine.h"
#include "warp.h"

namespace emu
{
struct Barrier
{
    unsigned arrived, expected;
    int line, op;
    unsigned count;
    Fiber* waiting[1024];
};

static Barrier barriers[16]; // 0 is __syncthreads
static int barrier_result;

void reset_block_operations()
{
    for (auto& b : barriers)
    {
        b.arrived = 0;
    }
}

static const char* barrier_name(int op)
{
    static const char* const names[] = {"__syncthreads", "__syncthreads_count", "__syncthreads_and", "__syncthreads_or"};
    return names[op];
}

// Wakes everybody in the order of the schedule, the last to arrive as well.
static void complete(Barrier& b)
{
    b.arrived = 0;
    engine.barrier_epoch++;
    if (&b == &barriers[0])
    {
        for (unsigned i = 0; i < engine.threads; i++)
        {
            make_ready(&engine.fibers[engine.order[i]]);
        }
    }
    else
    {
        for (unsigned i = 0; i < b.expected; i++)
        {
            make_ready(b.waiting[modes.order == Order::Reverse ? b.expected - 1 - i : i]);
        }
    }
}

static int barrier(int op, int value, int line)
{
    shadow_thread_event();
    Barrier& b = barriers[0];
    if (b.arrived == 0)
    {
        b.line = line;
        b.op = op;
        b.count = 0;
    }
    else if (b.line != line || b.op != op)
    {
        fail(CUDA_ERROR_LAUNCH_FAILED, format("divergent barrier: %u threads wait in %s at line %d, this one arrived in %s at line %d", b.arrived, barrier_name(b.op), b.line, barrier_name(op), line));
    }

    b.count += value != 0;
    if (++b.arrived == engine.threads)
    {
        barrier_result = b.op == EMU_BARRIER_COUNT ? (int)b.count : b.op == EMU_BARRIER_AND ? b.count == engine.threads : b.count != 0;
        complete(b);
    }

    wait_here(barrier_name(op), line);
    return barrier_result;
}

static void named_barrier(int id, int threads, int line)
{
    shadow_thread_event();
    if (id < 0 || id > 15 || threads <= 0 || threads % 32 != 0 || (unsigned)threads > engine.threads)
    {
        fail(CUDA_ERROR_LAUNCH_FAILED, format("named barrier %d of %d threads at line %d: 0 to 15, and a multiple of 32 that the block has", id, threads, line));
    }

    Barrier& b = barriers[id];
    if (b.arrived != 0 && b.expected != (unsigned)threads)
    {
        fail(CUDA_ERROR_LAUNCH_FAILED, format("named barrier %d: line %d says %d threads, another said %u", id, line, threads, b.expected));
    }

    b.expected = (unsigned)threads;
    b.waiting[b.arrived++] = engine.current;
    if (b.arrived == b.expected)
    {
        complete(b);
    }

    wait_here("a named barrier", line);
}

static void trap(const char* text, int line)
{
    fail(CUDA_ERROR_LAUNCH_FAILED, format("%s at line %d", text, line));
}

static int print(const char* text, va_list arguments)
{
    return vprintf(text, arguments);
}

const EmuTable table = {barrier, warp_operation, active_lanes, named_barrier, copy_async, copy_commit, copy_wait, trap, shadow_access, print};
} // namespace emu
