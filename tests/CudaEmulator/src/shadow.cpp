// shadow.cpp: which two accesses of a byte are a race. Two accesses are ordered by a barrier of the block between them, within a warp by a __syncwarp as well, and
// between launches; shuffles and votes order nothing. Atomic accesses do not race with each other.
#include "shadow.h"
#include "../shim/table.h"

namespace emu
{
// Whether `now` comes after `then` of the same block by a barrier, or is of the same thread.
static bool ordered(const Instant& then, const Instant& now)
{
    return then.epoch != now.epoch || then.thread == now.thread || (then.warp() == now.warp() && then.warp_epoch != now.warp_epoch);
}

static Finding against_write(const Cell& c, const Instant& now, int kind, uint32_t first_block, bool shared)
{
    const Instant& w = c.write;
    if (w.block < first_block || (kind >= EMU_ATOMIC && (w.flags & atomic)))
    {
        return Finding::None;
    }

    if (w.block != now.block)
    {
        return shared ? Finding::None : Finding::RaceOfBlocks;
    }

    return ordered(w, now) ? Finding::None : Finding::RaceWithWrite;
}

static Finding against_read(const Cell& c, const Instant& now, uint32_t first_block, bool shared)
{
    const Instant& r = c.read;
    if (r.block < first_block)
    {
        return Finding::None;
    }

    if (r.block != now.block || (r.flags & many_blocks))
    {
        return shared ? Finding::None : Finding::RaceOfBlocks;
    }

    if (r.epoch != now.epoch)
    {
        return Finding::None;
    }

    bool other_lane = (r.flags & many_lanes) && r.warp_epoch == now.warp_epoch;
    return !ordered(r, now) || (r.flags & many_warps) || other_lane ? Finding::RaceWithRead : Finding::None;
}

// The last reader stands for all: what it cannot stand for goes into flags.
static void enter_read(Cell& c, const Instant& now, uint32_t first_block)
{
    Instant& r = c.read;
    uint32_t flags = 0;
    if (r.block >= first_block && r.block != now.block)
    {
        flags = many_blocks;
    }
    else if (r.block == now.block)
    {
        flags = r.flags & many_blocks;
        if (r.epoch == now.epoch)
        {
            flags |= (r.flags & many_warps) | (r.warp() != now.warp() ? many_warps : 0);
            bool same_warp_epoch = r.warp() == now.warp() && r.warp_epoch == now.warp_epoch;
            flags |= same_warp_epoch && (r.thread != now.thread || (r.flags & many_lanes)) ? many_lanes : 0;
        }
    }

    r = now;
    r.flags = flags;
}

Finding judge(Cell& c, const Instant& now, int kind, uint32_t first_block, bool shared, bool all_known)
{
    bool has_value = shared ? c.write.block == now.block && (c.write.flags & known) : all_known || (c.write.flags & known);
    bool fresh = shared && c.write.block != now.block;
    if (!fresh && (c.write.flags & in_flight))
    {
        return Finding::InFlight;
    }

    Finding finding = against_write(c, now, kind, first_block, shared);
    if ((kind == EMU_READ || kind == EMU_ATOMIC) && !has_value)
    {
        // A race explains a missing value better than a missing value explains a race, but there is none to explain here.
        return finding != Finding::None ? finding : Finding::Uninitialised;
    }

    if (kind != EMU_READ && finding == Finding::None)
    {
        finding = against_read(c, now, first_block, shared);
    }

    if (kind == EMU_READ)
    {
        enter_read(c, now, first_block);
    }
    else
    {
        c.write = now;
        c.write.flags = known | (kind >= EMU_ATOMIC ? atomic : 0);
    }

    return finding;
}
} // namespace emu
