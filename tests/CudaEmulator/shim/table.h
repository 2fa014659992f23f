// table.h: what a compiled kernel module and the emulator know of each other. Included by the library and put before every kernel file.
// A module imports nothing from the library: the loader writes the address of the table into it, so that a module runs with any copy of the library.
#pragma once

struct EmuIndex
{
    unsigned x, y, z;
};

// The part of a running thread that kernel code reads; the engine's Fiber begins with it.
struct EmuThread
{
    EmuIndex index;
    unsigned lane;
};

struct EmuBlock
{
    EmuIndex index, size, grid;
};

enum EmuWarpOp
{
    EMU_SYNCWARP,
    EMU_SHUFFLE,
    EMU_SHUFFLE_UP,
    EMU_SHUFFLE_DOWN,
    EMU_SHUFFLE_XOR,
    EMU_BALLOT,
    EMU_ANY,
    EMU_ALL,
    EMU_MATCH_ANY,
    EMU_MATCH_ALL,
    EMU_REDUCE_ADD,
    EMU_REDUCE_MIN_UNSIGNED,
    EMU_REDUCE_MAX_UNSIGNED,
    EMU_REDUCE_MIN_INT,
    EMU_REDUCE_MAX_INT,
    EMU_REDUCE_AND,
    EMU_REDUCE_OR,
    EMU_REDUCE_XOR,
    EMU_WARP_SUM,
    EMU_WARP_MAX,
    EMU_MMA_BF16_16816,
    EMU_LDMATRIX_X4,
    EMU_LDMATRIX_X4_TRANS,
    EMU_WARP_OPS
};

// One lane's part in a warp operation. It lives on the lane's stack; the last lane to arrive works on all of them.
struct EmuWarpCall
{
    int op;
    unsigned mask;
    int line;
    int operand;              // source lane, distance or xor mask
    int width;                // of a shuffle segment
    unsigned long long value; // in and out
    void* d;
    const void* a;
    const void* b;
};

enum EmuBarrierOp
{
    EMU_BARRIER,
    EMU_BARRIER_COUNT,
    EMU_BARRIER_AND,
    EMU_BARRIER_OR
};

struct EmuTable
{
    int (*barrier)(int op, int value, int line);
    void (*warp)(EmuWarpCall* call);
    unsigned (*active)();
    void (*named_barrier)(int id, int threads, int line);
    void (*copy_async)(void* to, const void* from, int valid, int line);
    void (*copy_commit)();
    void (*copy_wait)(int groups, int line);
    void (*trap)(const char* text, int line);
    void (*access)(const void* address, unsigned long bytes, int kind); // checked mode: kind is an EmuAccess
    int (*print)(const char* format, __builtin_va_list arguments);
};

enum EmuAccess
{
    EMU_READ,
    EMU_WRITE,
    EMU_ATOMIC,
    EMU_EXCHANGE // an atomic that does not need the old value
};
