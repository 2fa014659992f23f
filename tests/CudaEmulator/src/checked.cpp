// checked.cpp: every access of a kernel, announced by the compiler's thread-sanitizer hooks, is looked up here: is it inside of memory that is the kernel's, has the
// byte a value, does it race.
#include "checked.h"
#include <sys/mman.h>
#include <map>
#include "memory.h"
#include "modules.h"
#include "shadow.h"

namespace emu
{
std::string describe_address(const void* address);

struct Shadow
{
    char* base;
    size_t bytes;
    Cell* cells;
    bool all_known; // allocated before checked mode began
    int device;
};

// Never destroyed: the process may end while other threads still use the driver.
static std::map<char*, Shadow>& shadows = *new std::map<char*, Shadow>;
static Shadow* last_used;
static uint32_t block_serial = 1, first_block = 1;
static long accesses;

static Cell* map_cells(size_t bytes)
{
    void* cells = mmap(nullptr, bytes * sizeof(Cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return cells == MAP_FAILED ? nullptr : (Cell*)cells;
}

static Shadow* create(const Allocation& a, bool all_known)
{
    Shadow& s = shadows[a.base];
    s = {a.base, a.bytes, map_cells(a.bytes), all_known, a.device};
    return &s;
}

static Shadow* find_shadow(const void* address)
{
    char* p = (char*)address;
    if (last_used != nullptr && p >= last_used->base && p < last_used->base + last_used->bytes)
    {
        return last_used;
    }

    const Allocation* a = find_allocation(address);
    if (a == nullptr)
    {
        return nullptr;
    }

    auto known_shadow = shadows.find(a->base);
    last_used = known_shadow != shadows.end() ? &known_shadow->second : create(*a, true);
    return last_used;
}

void shadow_allocate(char* base, size_t)
{
    if (modes.checked)
    {
        create(*find_allocation(base), false);
    }
}

void shadow_release(char* base)
{
    auto entry = shadows.find(base);
    if (entry != shadows.end())
    {
        munmap(entry->second.cells, entry->second.bytes * sizeof(Cell));
        shadows.erase(entry);
        last_used = nullptr;
    }
}

void shadow_forget_all()
{
    while (!shadows.empty())
    {
        shadow_release(shadows.begin()->first);
    }
}

// ---- the host's work ------------------------------------------------------------------------------------------------------------------------------
void shadow_host_write(void* to, size_t bytes)
{
    Shadow* s = modes.checked ? find_shadow(to) : nullptr;
    for (size_t i = 0; s != nullptr && i < bytes; i++)
    {
        Cell& c = s->cells[(char*)to - s->base + i];
        c = {};
        c.write.flags = known;
    }
}

void shadow_copy(char* to, const char* from, size_t bytes)
{
    Shadow* t = modes.checked ? find_shadow(to) : nullptr;
    if (t == nullptr)
    {
        return;
    }

    Shadow target = *t, *source = find_shadow(from);
    for (size_t i = 0; i < bytes; i++)
    {
        Cell c = {};
        c.write.flags = source->all_known || (source->cells[from - source->base + i].write.flags & known) ? known : 0;
        target.cells[to - target.base + i] = c;
    }
}

bool shadow_matrix_known(const char* first, uint64_t rows, uint64_t columns, int64_t ld, int64_t element, const char* what)
{
    Shadow* s = rows == 0 || columns == 0 ? nullptr : find_shadow(first);
    if (s == nullptr || s->all_known)
    {
        return true;
    }

    for (uint64_t column = 0; column < columns; column++)
    {
        size_t offset = (size_t)(first - s->base) + column * (uint64_t)(ld * element);
        for (uint64_t i = 0; i < rows * (uint64_t)element; i++)
        {
            if ((s->cells[offset + i].write.flags & known) == 0)
            {
                report(format("%s: row %lu of column %lu was never written", what, i / (uint64_t)element, column));
                return false;
            }
        }
    }

    return true;
}

// ---- shared memory: cells of another block count for nothing, so nothing is cleared between blocks -----------------------------------------------------------
static Cell *static_cells, *dynamic_cells;
static size_t static_bytes;
constexpr size_t dynamic_bytes = 232448;

static Cell* shared_cell(const char* p)
{
    if (p >= engine.shared && p < engine.shared_end)
    {
        return static_cells + (p - engine.shared);
    }

    return p >= engine.dynamic && p < engine.dynamic_end ? dynamic_cells + (p - engine.dynamic) : nullptr;
}

void shadow_new_launch()
{
    first_block = block_serial + 1;
    size_t needed = (size_t)(engine.shared_end - engine.shared);
    if (dynamic_cells == nullptr)
    {
        dynamic_cells = map_cells(dynamic_bytes);
    }

    if (needed > static_bytes)
    {
        munmap(static_cells, static_bytes * sizeof(Cell));
        static_bytes = needed;
        static_cells = map_cells(needed);
    }
}

// ---- a store of the same value by another thread is harmless: judged when the thread comes back, after the store ---------------------------------------------
struct Suspicion
{
    Fiber* fiber;
    const void* address;
    unsigned bytes;
    unsigned char before[16];
    std::string text;
};

static Suspicion suspicion;

void shadow_thread_event()
{
    if (suspicion.fiber != nullptr)
    {
        bool changed = memcmp(suspicion.address, suspicion.before, suspicion.bytes) != 0;
        engine.current = suspicion.fiber;
        suspicion.fiber = nullptr;
        if (changed)
        {
            fail(CUDA_ERROR_LAUNCH_FAILED, suspicion.text);
        }
    }
}

void shadow_new_block()
{
    block_serial++;
    suspicion.fiber = nullptr;
}

// ---- findings -------------------------------------------------------------------------------------------------------------------------------------
static const char* verb(int kind)
{
    return kind == EMU_READ ? "read" : kind == EMU_WRITE ? "write" : "atomic";
}

static std::string place(const char* p)
{
    if (p >= engine.shared && p < engine.shared_end)
    {
        return format("byte %ld of static shared memory", (long)(p - engine.shared));
    }

    if (p >= engine.dynamic && p < engine.dynamic_end)
    {
        return format("byte %ld of dynamic shared memory", (long)(p - engine.dynamic));
    }

    return describe_address(p);
}

static std::string other_thread(const Instant& t)
{
    unsigned x = engine.block.size.x, y = engine.block.size.y;
    return format("thread (%u, %u, %u)", t.thread % x, t.thread / x % y, t.thread / (x * y));
}

static std::string finding_text(Finding finding, const Cell& before, const char* p, unsigned long bytes, int kind)
{
    std::string access = format("%s of %lu bytes at %s", verb(kind), bytes, place(p).c_str());
    switch (finding)
    {
    case Finding::Uninitialised:
        return "uninitialised memory: " + access + ", which has no value";
    case Finding::InFlight:
        return "asynchronous copy: " + access + ", where a cp.async is under way";
    case Finding::RaceWithWrite:
        return "race: " + access + ", written by " + other_thread(before.write) + " with no barrier between";
    case Finding::RaceWithRead:
        return "race: " + access + ", read by " + (before.read.flags ? "other threads" : other_thread(before.read)) + " with no barrier between";
    default:
        return "race of blocks: " + access + ", which another block of the launch has used";
    }
}

// ---- accesses -------------------------------------------------------------------------------------------------------------------------------------
static bool may_be_elsewhere(Fiber* fiber, const char* p, unsigned long bytes)
{
    // Constants and tables of the module; memory that the host has pinned.
    const Module& m = *engine.launch->module;
    return (p >= m.first && p + bytes <= m.end) || is_pinned(p) || (p >= fiber_stack_low(fiber->stack) && p + bytes <= fiber_stack_high(fiber->stack));
}

[[noreturn]] static void out_of_bounds(Fiber* fiber, const char* p, unsigned long bytes, int kind)
{
    engine.current = fiber;
    std::string what = describe_address(p);
    if (p >= engine.dynamic_end && p < engine.dynamic_end + 65536)
    {
        what = format("%ld bytes past the end of %u bytes of dynamic shared memory", (long)(p - engine.dynamic_end), engine.launch->dynamic_bytes);
    }

    fail(CUDA_ERROR_ILLEGAL_ADDRESS, format("out-of-bounds %s of %lu bytes at %p, %s", verb(kind), bytes, (const void*)p, what.c_str()));
}

void shadow_access_by(Fiber* fiber, const void* address, unsigned long bytes, int kind)
{
    const char* p = (const char*)address;
    Cell* cells = shared_cell(p);
    bool shared = cells != nullptr, all_known = false;
    if (shared)
    {
        const char* end = p < engine.shared_end && p >= engine.shared ? engine.shared_end : engine.dynamic_end;
        if (p + bytes > end)
        {
            out_of_bounds(fiber, p, bytes, kind);
        }
    }
    else
    {
        Shadow* s = find_shadow(p);
        bool allowed = s != nullptr && p + bytes <= s->base + s->bytes;
        if (!allowed || (s->device != current_device() && !peer_enabled(s->device)))
        {
            if (s == nullptr && may_be_elsewhere(fiber, p, bytes))
            {
                return;
            }

            if (allowed)
            {
                engine.current = fiber;
                fail(CUDA_ERROR_ILLEGAL_ADDRESS, format("%s of memory of device %d, to which device %d has no peer access", verb(kind), s->device, current_device()));
            }

            out_of_bounds(fiber, p, bytes, kind);
        }

        cells = s->cells + (p - s->base);
        all_known = s->all_known;
    }

    Instant now = {block_serial, engine.barrier_epoch, 0, (uint16_t)engine.warp_epochs[fiber->warp], (uint16_t)fiber->linear};
    for (unsigned long i = 0; i < bytes; i++)
    {
        Cell before = cells[i];
        Finding finding = judge(cells[i], now, kind, first_block, shared, all_known);
        if (finding == Finding::None)
        {
            continue;
        }

        std::string text = finding_text(finding, before, p + i, bytes, kind);
        bool two_writes = kind == EMU_WRITE && bytes <= 16 && (finding == Finding::RaceWithWrite || (finding == Finding::RaceOfBlocks && before.read.block < first_block));
        if (two_writes)
        {
            suspicion = {fiber, p, (unsigned)bytes, {}, text};
            memcpy(suspicion.before, p, bytes);
            continue;
        }

        engine.current = fiber;
        fail(finding == Finding::Uninitialised || finding == Finding::InFlight ? CUDA_ERROR_ILLEGAL_ADDRESS : CUDA_ERROR_LAUNCH_FAILED, text);
    }
}

void shadow_access(const void* address, unsigned long bytes, int kind)
{
    Fiber* me = engine.current;
    if (!modes.checked || me == nullptr || bytes == 0)
    {
        return;
    }

    accesses++;
    shadow_thread_event();
    const char* p = (const char*)address;
    if (p >= fiber_stack_low(me->stack) && p + bytes <= fiber_stack_high(me->stack))
    {
        return;
    }

    shadow_access_by(me, address, bytes, kind);
}

// ---- cp.async -------------------------------------------------------------------------------------------------------------------------------------
void shadow_copy_begins(void* to, const void* from, int valid)
{
    if (valid)
    {
        shadow_access_by(engine.current, from, 16, EMU_READ);
    }

    shadow_access_by(engine.current, to, 16, EMU_WRITE);
    for (int i = 0; i < 16; i++)
    {
        shared_cell((char*)to + i)->write.flags |= in_flight;
    }
}

void shadow_copy_ends(void* to)
{
    for (int i = 0; i < 16; i++)
    {
        shared_cell((char*)to + i)->write.flags &= ~in_flight;
    }

    shadow_access_by(engine.current, to, 16, EMU_WRITE);
}
} // namespace emu

// Accesses that were checked: a test that expects none to be reported can see that there were some.
EXPORT long emuCheckedAccesses()
{
    emu::Guard guard(emu::lock);
    return emu::accesses;
}
