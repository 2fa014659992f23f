// shadow.h: the cells of checked mode, one per byte of device and shared memory.
#pragma once
#include <cstdint>
#include <cstring>

namespace emu
{
// When and by whom: epochs count completed barriers of the block and __syncwarps of the warp.
struct Instant
{
    uint32_t block;       // a serial number over all launches
    uint32_t epoch : 26;
    uint32_t flags : 6;
    uint16_t warp_epoch;
    uint16_t thread;

    unsigned warp() const
    {
        return thread / 32u;
    }
};

// Flags of the last write.
constexpr uint32_t known = 1, atomic = 2, in_flight = 4;

// Flags of the last read: others have read as well, and no barrier has ordered them since.
constexpr uint32_t many_lanes = 1, many_warps = 2, many_blocks = 4;

struct Cell
{
    Instant write, read;
};

enum class Finding
{
    None,
    Uninitialised,
    InFlight,
    RaceWithWrite,
    RaceWithRead,
    RaceOfBlocks
};

// Judges one access and enters it. `first_block` is the serial of the launch's first block; shared memory knows nothing of earlier blocks.
Finding judge(Cell& cell, const Instant& now, int kind, uint32_t first_block, bool shared, bool all_known);
} // namespace emu
