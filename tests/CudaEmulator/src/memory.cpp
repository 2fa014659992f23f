// memory.cpp: device memory between addresses without access. An allocation ends at most 255 bytes before them; the slack and the bytes before it hold canaries;
// fresh memory is 0xFF, which is a NaN in every float type. Freed memory stays mapped without access, so that its addresses come back late.
#include "memory.h"
#include <sys/mman.h>
#include <unistd.h>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include "checked.h"

namespace emu
{
// Never destroyed: the process may end while other threads still use the driver.
static std::map<char*, Allocation>& allocations = *new std::map<char*, Allocation>;
static std::map<char*, size_t>& pinned = *new std::map<char*, size_t>;
static size_t used[max_devices];
static std::deque<Allocation>& freed = *new std::deque<Allocation>;
static size_t freed_bytes;

constexpr size_t page = 4096, granule = 256, front_canary = 256;
constexpr size_t guard_before = 1 << 20, guard_after = 16 << 20; // addresses without access: a wild index still hits them
constexpr unsigned char canary = 0xC9;

int device_count()
{
    return environment_number("GRAFT_EMU_DEVICES", 1) >= 2 ? 2 : 1;
}

size_t device_memory()
{
    return (size_t)environment_number("GRAFT_EMU_MEMORY", 4L << 30);
}

size_t used_memory(int device)
{
    return used[device];
}

static size_t round_up(size_t x, size_t to)
{
    return (x + to - 1) / to * to;
}

// Large allocations map one file of 0xFF bytes again and again, copied when written: a slab of a gigabyte costs pages only where it is used.
static bool map_poisoned(char* at, size_t bytes)
{
    constexpr size_t chunk = 16 << 20;
    static int file = -1;
    if (file < 0)
    {
        file = memfd_create("graft-emulator-poison", MFD_CLOEXEC);
        if (file < 0 || ftruncate(file, chunk) != 0)
        {
            return false;
        }

        void* all = mmap(nullptr, chunk, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        memset(all, 0xFF, chunk);
        munmap(all, chunk);
    }

    for (size_t done = 0; done < bytes; done += chunk)
    {
        size_t part = bytes - done < chunk ? bytes - done : chunk;
        if (mmap(at + done, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
        {
            return false;
        }
    }

    return true;
}

char* allocate(int device, size_t bytes)
{
    size_t rounded = round_up(bytes, granule), pages = round_up(rounded, page);
    if (bytes > device_memory() || rounded > device_memory() - used[device])
    {
        return nullptr;
    }

    size_t mapped = guard_before + pages + guard_after;
    char* mapping = (char*)mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
    {
        return nullptr;
    }

    char* first = mapping + guard_before;
    char* end = first + pages;
    if (pages > 64 << 20)
    {
        if (!map_poisoned(first, pages))
        {
            munmap(mapping, mapped);
            return nullptr;
        }
    }
    else
    {
        mprotect(first, pages, PROT_READ | PROT_WRITE);
        memset(first, 0xFF, pages);
    }

    char* base = end - rounded;
    size_t front = (size_t)(base - first) < front_canary ? (size_t)(base - first) : front_canary;
    memset(base - front, canary, front);
    memset(base + bytes, canary, rounded - bytes);
    Allocation a = {base, bytes, mapping, mapped, device, end};
    allocations[base] = a;
    used[device] += rounded;
    shadow_allocate(base, bytes);
    return base;
}

static bool intact(const Allocation& a, const char* when)
{
    char* first = a.mapping + guard_before;
    for (char* p = a.base - first < (long)front_canary ? first : a.base - front_canary; p < a.base; p++)
    {
        if ((unsigned char)*p != canary)
        {
            report(format("out-of-bounds write: %ld bytes before an allocation of %zu bytes at %p, found %s", (long)(a.base - p), a.bytes, (void*)a.base, when));
            return false;
        }
    }

    for (char* p = a.base + a.bytes; p < a.canary_end; p++)
    {
        if ((unsigned char)*p != canary)
        {
            report(format("out-of-bounds write: %ld bytes past the end of an allocation of %zu bytes at %p, found %s", (long)(p - a.base - (long)a.bytes), a.bytes, (void*)a.base, when));
            return false;
        }
    }

    return true;
}

bool canaries_intact(const char* when)
{
    for (auto& entry : allocations)
    {
        if (!intact(entry.second, when))
        {
            // Repaired, so that one bad write is one report.
            Allocation& a = entry.second;
            char* first = a.mapping + guard_before;
            char* front = a.base - first < (long)front_canary ? first : a.base - front_canary;
            memset(front, canary, a.base - front);
            memset(a.base + a.bytes, canary, a.canary_end - a.base - a.bytes);
            return false;
        }
    }

    return true;
}

bool release(char* base)
{
    auto entry = allocations.find(base);
    if (entry == allocations.end())
    {
        return false;
    }

    Allocation a = entry->second;
    intact(a, "when it was freed");
    allocations.erase(entry);
    used[a.device] -= round_up(a.bytes, granule);
    shadow_release(a.base);
    mmap(a.mapping, a.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    freed.push_back(a);
    freed_bytes += a.mapped;
    while (freed.size() > 4096 || freed_bytes > (size_t)1 << 40)
    {
        munmap(freed.front().mapping, freed.front().mapped);
        freed_bytes -= freed.front().mapped;
        freed.pop_front();
    }

    return true;
}

const Allocation* find_allocation(const void* address)
{
    auto after = allocations.upper_bound((char*)address);
    if (after == allocations.begin())
    {
        return nullptr;
    }

    const Allocation& a = std::prev(after)->second;
    return (char*)address < a.base + a.bytes ? &a : nullptr;
}

long live_bytes()
{
    long total = 0;
    for (auto& entry : allocations)
    {
        total += (long)entry.second.bytes;
    }

    return total;
}

// What is known of an address that is in no allocation: the neighbour it is close to, or the freed memory it was.
std::string describe_address(const void* address)
{
    char* p = (char*)address;
    for (auto& a : freed)
    {
        if (p >= a.base && p < a.base + a.bytes)
        {
            return format("%ld bytes into an allocation of %zu bytes that was freed", (long)(p - a.base), a.bytes);
        }
    }

    auto after = allocations.upper_bound(p);
    if (after != allocations.begin())
    {
        const Allocation& a = std::prev(after)->second;
        long past = (long)(p - a.base) - (long)a.bytes;
        if (past < 0)
        {
            return format("%ld bytes into an allocation of %zu bytes", (long)(p - a.base), a.bytes);
        }

        if (past < (long)guard_after)
        {
            return format("%ld bytes past the end of an allocation of %zu bytes", past, a.bytes);
        }
    }

    if (after != allocations.end() && after->second.base - p < (long)guard_before)
    {
        return format("%ld bytes before an allocation of %zu bytes", (long)(after->second.base - p), after->second.bytes);
    }

    return p < (char*)65536 ? "near null" : "in no allocation of the device";
}

bool inside(const void* address, size_t bytes, const char* what)
{
    const Allocation* a = find_allocation(address);
    if (a == nullptr ? bytes == 0 : (char*)address + bytes <= a->base + a->bytes)
    {
        return true;
    }

    report(format("%s: %zu bytes at %p: %s", what, bytes, address, describe_address(address).c_str()));
    return false;
}

char* allocate_pinned(size_t bytes)
{
    void* p = nullptr;
    if (posix_memalign(&p, page, bytes == 0 ? 1 : bytes) != 0)
    {
        return nullptr;
    }

    pinned[(char*)p] = bytes;
    return (char*)p;
}

bool release_pinned(char* base)
{
    if (pinned.erase(base) == 0)
    {
        return false;
    }

    free(base);
    return true;
}

bool register_pinned(char* base, size_t bytes)
{
    return pinned.emplace(base, bytes).second;
}

bool unregister_pinned(char* base)
{
    return pinned.erase(base) != 0;
}

bool is_pinned(const void* address)
{
    auto after = pinned.upper_bound((char*)address);
    return after != pinned.begin() && (char*)address < std::prev(after)->first + std::prev(after)->second;
}
} // namespace emu
