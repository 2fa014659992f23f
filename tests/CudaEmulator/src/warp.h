// warp.h: operations of a warp.
#pragma once
#include "engine.h"

namespace emu
{
void warp_operation(EmuWarpCall* call);
unsigned active_lanes();

// What the operation computes, over the calls of all lanes in `mask` (tensor_ops.cpp for the last three).
void run_warp_operation(int op, EmuWarpCall* const* calls, unsigned mask, Fiber* warp);
void mma_bf16_16816(EmuWarpCall* const* calls);
void load_matrices(EmuWarpCall* const* calls, bool transposed, Fiber* warp);
} // namespace emu
