// copies.h: cp.async.
#pragma once

namespace emu
{
void copy_async(void* to, const void* from, int valid, int line);
void copy_commit();
void copy_wait(int groups, int line);
void copies_at_exit();
} // namespace emu
