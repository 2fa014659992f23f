// memory.h: device and pinned memory.
#pragma once
#include "state.h"

namespace emu
{
struct Allocation
{
    char* base;   // multiple of 256
    size_t bytes; // as asked for
    char* mapping;
    size_t mapped;
    int device;
    char* canary_end; // where the guard page after it begins
};

constexpr int max_devices = 2;

int device_count();
size_t device_memory();
size_t used_memory(int device);

// 0 where the device has too little left.
char* allocate(int device, size_t bytes);
bool release(char* base);
const Allocation* find_allocation(const void* address);
long live_bytes();

// Whether [address, address + bytes) lies in one live allocation; else reports with `what` and answers false.
bool inside(const void* address, size_t bytes, const char* what);

// Checks the bytes around every allocation; false after a report.
bool canaries_intact(const char* when);

char* allocate_pinned(size_t bytes);
bool release_pinned(char* base);
bool register_pinned(char* base, size_t bytes);
bool unregister_pinned(char* base);
bool is_pinned(const void* address);
} // namespace emu
