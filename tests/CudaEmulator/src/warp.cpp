// warp.cpp: lanes of one mask meet; the last to arrive works for all, on the operands that lie on the others' stacks.
#include "warp.h"
#include <cstring>
#include "checked.h"

namespace emu
{
struct Meeting
{
    unsigned mask, arrived;
    int op, line;
    EmuWarpCall* calls[32];
};

// Lanes of different masks may wait at the same time, so a warp can have several meetings.
struct Warp
{
    unsigned exists;
    int used;
    Meeting meetings[32];
};

static Warp warps[32];

static const char* const op_names[EMU_WARP_OPS] = {
    "__syncwarp", "__shfl_sync", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync", "__ballot_sync", "__any_sync", "__all_sync", "__match_any_sync", "__match_all_sync",
    "__reduce_add_sync", "__reduce_min_sync", "__reduce_max_sync", "__reduce_min_sync", "__reduce_max_sync", "__reduce_and_sync", "__reduce_or_sync", "__reduce_xor_sync",
    "warp_sum", "warp_max", "mma_bf16_16816", "ldmatrix_x4", "ldmatrix_x4_trans"};

void reset_warps()
{
    for (unsigned w = 0; w * 32 < engine.threads; w++)
    {
        unsigned lanes = engine.threads - w * 32;
        warps[w].exists = lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1;
        warps[w].used = 0;
        engine.warp_epochs[w] = 0;
    }

    for (auto& w : warps)
    {
        w.used = 0;
    }
}

unsigned active_lanes()
{
    const Fiber* me = engine.current;
    unsigned mask = 0;
    for (unsigned lane = 0; lane < 32; lane++)
    {
        if (warps[me->warp].exists >> lane & 1 && engine.fibers[me->warp * 32 + lane].state != FiberState::Exited)
        {
            mask |= 1u << lane;
        }
    }

    return mask;
}

static Meeting& meeting_of(Warp& w, unsigned mask)
{
    for (int i = 0; i < w.used; i++)
    {
        if (w.meetings[i].arrived != 0 && w.meetings[i].mask == mask)
        {
            return w.meetings[i];
        }
    }

    for (int i = 0; i < w.used; i++)
    {
        if (w.meetings[i].arrived == 0)
        {
            return w.meetings[i];
        }
    }

    w.meetings[w.used].arrived = 0;
    return w.meetings[w.used++];
}

void warp_operation(EmuWarpCall* call)
{
    shadow_thread_event();
    Fiber* me = engine.current;
    Warp& w = warps[me->warp];
    unsigned mask = call->mask, bit = 1u << me->lane;
    if ((mask & bit) == 0)
    {
        fail(CUDA_ERROR_LAUNCH_FAILED, format("%s at line %d: mask 0x%08x does not name the calling lane %u", op_names[call->op], call->line, mask, me->lane));
    }

    if ((mask & ~w.exists) != 0)
    {
        fail(CUDA_ERROR_LAUNCH_FAILED, format("%s at line %d: mask 0x%08x names lanes that the block does not have (0x%08x)", op_names[call->op], call->line, mask, w.exists));
    }

    Meeting& m = meeting_of(w, mask);
    if (m.arrived == 0)
    {
        m.mask = mask;
        m.op = call->op;
        m.line = call->line;
    }
    else if (m.op != call->op || m.line != call->line)
    {
        fail(CUDA_ERROR_LAUNCH_FAILED,
             format("lanes of warp %u are at different operations: %s at line %d and %s at line %d", me->warp, op_names[m.op], m.line, op_names[call->op], call->line));
    }

    m.calls[me->lane] = call;
    m.arrived |= bit;
    if (m.arrived != mask)
    {
        wait_here(op_names[call->op], call->line);
        return;
    }

    m.arrived = 0;
    if (call->op == EMU_SYNCWARP)
    {
        engine.warp_epochs[me->warp]++;
    }

    Fiber* lanes = &engine.fibers[me->warp * 32];
    run_warp_operation(call->op, m.calls, mask, lanes);
    for (int i = 0; i < 32; i++)
    {
        int lane = modes.order == Order::Reverse ? 31 - i : i;
        if (mask >> lane & 1 && lane != (int)me->lane)
        {
            make_ready(&lanes[lane]);
        }
    }
}

static int source_lane(const EmuWarpCall& c, int lane)
{
    int width = c.width, segment = lane / width * width, inside = lane - segment;
    switch (c.op)
    {
    case EMU_SHUFFLE:
        return segment + (c.operand & (width - 1));
    case EMU_SHUFFLE_UP:
        return inside - c.operand >= 0 ? lane - c.operand : lane;
    case EMU_SHUFFLE_DOWN:
        return inside + c.operand < width ? lane + c.operand : lane;
    default:
        // A segment above reads its own value; one below may be read.
        return (lane ^ c.operand) < segment + width ? lane ^ c.operand : lane;
    }
}

static void shuffle(EmuWarpCall* const* calls, unsigned mask)
{
    unsigned long long values[32];
    for (int lane = 0; lane < 32; lane++)
    {
        values[lane] = mask >> lane & 1 ? calls[lane]->value : 0;
    }

    for (int lane = 0; lane < 32; lane++)
    {
        if (mask >> lane & 1)
        {
            EmuWarpCall& c = *calls[lane];
            if (c.width < 1 || c.width > 32 || (c.width & (c.width - 1)) != 0)
            {
                fail(CUDA_ERROR_LAUNCH_FAILED, format("%s at line %d: width %d is no power of two up to 32", op_names[c.op], c.line, c.width));
            }

            int source = source_lane(c, lane) & 31;
            if ((mask >> source & 1) == 0)
            {
                fail(CUDA_ERROR_LAUNCH_FAILED, format("%s at line %d: lane %d reads lane %d, which is not in the mask 0x%08x", op_names[c.op], c.line, lane, source, mask));
            }

            c.value = values[source];
        }
    }
}

static float as_float(unsigned long long bits)
{
    unsigned low = (unsigned)bits;
    float x;
    memcpy(&x, &low, 4);
    return x;
}

// The butterfly of hardware.cuh: distances 16, 8, 4, 2, 1; each lane adds its partner's value to its own.
static void butterfly(EmuWarpCall* const* calls, bool sum)
{
    float x[32], y[32];
    for (int lane = 0; lane < 32; lane++)
    {
        x[lane] = as_float(calls[lane]->value);
    }

    for (int distance = 16; distance > 0; distance >>= 1)
    {
        for (int lane = 0; lane < 32; lane++)
        {
            y[lane] = sum ? x[lane] + x[lane ^ distance] : __builtin_fmaxf(x[lane], x[lane ^ distance]);
        }

        memcpy(x, y, sizeof(x));
    }

    for (int lane = 0; lane < 32; lane++)
    {
        unsigned bits;
        memcpy(&bits, &x[lane], 4);
        calls[lane]->value = bits;
    }
}

static unsigned long long combine(int op, unsigned long long a, unsigned long long b)
{
    unsigned x = (unsigned)a, y = (unsigned)b;
    switch (op)
    {
    case EMU_REDUCE_ADD:
        return x + y;
    case EMU_REDUCE_MIN_UNSIGNED:
        return x < y ? x : y;
    case EMU_REDUCE_MAX_UNSIGNED:
        return x > y ? x : y;
    case EMU_REDUCE_MIN_INT:
        return (int)x < (int)y ? x : y;
    case EMU_REDUCE_MAX_INT:
        return (int)x > (int)y ? x : y;
    case EMU_REDUCE_AND:
        return x & y;
    case EMU_REDUCE_XOR:
        return x ^ y;
    default:
        return x | y;
    }
}

// One value for all lanes: reductions and votes.
static void reduce(int op, EmuWarpCall* const* calls, unsigned mask)
{
    unsigned ballot = 0;
    unsigned long long total = 0;
    bool first = true;
    for (int lane = 0; lane < 32; lane++)
    {
        if (mask >> lane & 1)
        {
            unsigned long long value = calls[lane]->value;
            ballot |= (value != 0 ? 1u : 0u) << lane;
            total = first ? value : combine(op, total, value);
            first = false;
        }
    }

    unsigned long long result = op == EMU_BALLOT ? ballot : op == EMU_ANY ? ballot != 0 : op == EMU_ALL ? ballot == mask : total;
    for (int lane = 0; lane < 32; lane++)
    {
        if (mask >> lane & 1)
        {
            calls[lane]->value = result;
        }
    }
}

static void match(bool all, EmuWarpCall* const* calls, unsigned mask)
{
    unsigned long long values[32];
    for (int lane = 0; lane < 32; lane++)
    {
        values[lane] = mask >> lane & 1 ? calls[lane]->value : 0;
    }

    for (int lane = 0; lane < 32; lane++)
    {
        if (mask >> lane & 1)
        {
            unsigned equal = 0;
            for (int other = 0; other < 32; other++)
            {
                equal |= (mask >> other & 1 && values[other] == values[lane] ? 1u : 0u) << other;
            }

            calls[lane]->value = all && equal != mask ? 0 : equal;
        }
    }
}

void run_warp_operation(int op, EmuWarpCall* const* calls, unsigned mask, Fiber* warp)
{
    switch (op)
    {
    case EMU_SYNCWARP:
        return;
    case EMU_SHUFFLE:
    case EMU_SHUFFLE_UP:
    case EMU_SHUFFLE_DOWN:
    case EMU_SHUFFLE_XOR:
        return shuffle(calls, mask);
    case EMU_MATCH_ANY:
    case EMU_MATCH_ALL:
        return match(op == EMU_MATCH_ALL, calls, mask);
    case EMU_WARP_SUM:
    case EMU_WARP_MAX:
        return butterfly(calls, op == EMU_WARP_SUM);
    case EMU_MMA_BF16_16816:
        return mma_bf16_16816(calls);
    case EMU_LDMATRIX_X4:
    case EMU_LDMATRIX_X4_TRANS:
        return load_matrices(calls, op == EMU_LDMATRIX_X4_TRANS, warp);
    default:
        return reduce(op, calls, mask);
    }
}
} // namespace emu
