// checked.h: what checked mode knows of every byte. Nothing here does anything in fast mode.
#pragma once
#include "engine.h"

namespace emu
{
void shadow_allocate(char* base, size_t bytes);
void shadow_release(char* base);
void shadow_forget_all(); // when checked mode ends

// Work of the host: copies, fills and matrix products make bytes known; what is unknown stays so in a copy.
void shadow_host_write(void* to, size_t bytes);
void shadow_copy(char* to, const char* from, size_t bytes);
bool shadow_matrix_known(const char* first, uint64_t rows, uint64_t columns, int64_t ld, int64_t element, const char* what); // reports what is not

void shadow_new_launch();
void shadow_new_block();
void shadow_thread_event(); // a thread enters the engine: its last store has happened

void shadow_access(const void* address, unsigned long bytes, int kind);
void shadow_access_by(Fiber* fiber, const void* address, unsigned long bytes, int kind);
void shadow_copy_begins(void* to, const void* from, int valid);
void shadow_copy_ends(void* to);
} // namespace emu
