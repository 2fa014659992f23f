#include "checked.h"

namespace emu
{
void shadow_allocate(char*, size_t) {}
void shadow_release(char*, size_t) {}
void shadow_host_write(void*, size_t) {}
void shadow_copy(char*, const char*, size_t) {}
void shadow_new_launch() {}
void shadow_new_block() {}
void shadow_access(const void*, unsigned long, int) {}
void shadow_access_by(const Fiber*, const void*, unsigned long, int) {}
void shadow_copy_begins(void*, const void*, int) {}
void shadow_copy_ends(void*) {}
bool shadow_matrix_known(const char*, uint64_t, uint64_t, int64_t, int64_t, const char*) { return true; }
void shadow_add_module(Module*) {}
void shadow_remove_module(Module*) {}
} // namespace emu
