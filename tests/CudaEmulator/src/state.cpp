// state.cpp: modes, reports and the exports that only the emulator has.
#include "state.h"
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "checked.h"
#include "memory.h"
#include "streams.h"

namespace emu
{
Modes modes;
long launches = 0;
std::recursive_mutex lock;
static std::string last_report;

bool set_mode(const std::string& name, const std::string& value)
{
    if (name == "checked")
    {
        if (value != "0" && value != "1")
        {
            return false;
        }

        modes.checked = value == "1";
        if (!modes.checked)
        {
            shadow_forget_all();
        }
    }
    else if (name == "lazy")
    {
        modes.lazy = value == "1";
    }
    else if (name == "schedule" && value.compare(0, 7, "random:") == 0)
    {
        modes.order = Order::Random;
        modes.seed = strtoull(value.c_str() + 7, nullptr, 10);
    }
    else if (name == "schedule" && (value == "forward" || value == "reverse"))
    {
        modes.order = value == "reverse" ? Order::Reverse : Order::Forward;
    }
    else if (name.compare(0, 10, "GRAFT_EMU_") == 0)
    {
        // The host's language may keep its own copy of the environment (.NET does): this sets the one that the emulator reads.
        setenv(name.c_str(), value.c_str(), 1);
        read_modes();
    }
    else
    {
        return false;
    }

    return true;
}

__attribute__((constructor)) void read_modes()
{
    static const char* const names[][2] = {{"GRAFT_EMU_CHECKED", "checked"}, {"GRAFT_EMU_LAZY", "lazy"}, {"GRAFT_EMU_SCHEDULE", "schedule"}};
    for (auto& name : names)
    {
        const char* value = getenv(name[0]);
        if (value != nullptr && *value != 0 && !set_mode(name[1], value))
        {
            fprintf(stderr, "cuda emulator: %s=%s is not known (forward, reverse or random:SEED)\n", name[0], value);
        }
    }
}

long environment_number(const char* name, long otherwise)
{
    const char* value = getenv(name);
    return value == nullptr || *value == 0 ? otherwise : strtol(value, nullptr, 10);
}

std::string format(const char* text, ...)
{
    char line[2048];
    va_list arguments;
    va_start(arguments, text);
    vsnprintf(line, sizeof(line), text, arguments);
    va_end(arguments);
    return line;
}

void report(const std::string& text)
{
    last_report = text;
    fprintf(stderr, "cuda emulator: %s\n", text.c_str());
}

const char* build_hash()
{
    return EMU_BUILD_HASH;
}

uint64_t hash64(const void* data, size_t bytes, uint64_t seed)
{
    uint64_t hash = seed ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++)
    {
        hash = (hash ^ ((const unsigned char*)data)[i]) * 0x100000001b3u;
        hash ^= hash >> 29;
    }

    return hash;
}
} // namespace emu

using namespace emu;

// The report of the last error, empty where there was none. Valid until the next call of the emulator.
EXPORT const char* emuLastReport()
{
    Guard guard(lock);
    return last_report.c_str();
}

// Clears the sticky error and the report; memory, streams and modules stay.
EXPORT void emuReset()
{
    Guard guard(lock);
    last_report.clear();
    clear_sticky();
}

// As if the cards had fallen off the bus: every later call fails, until the context is made anew.
EXPORT void emuLoseDevices()
{
    Guard guard(lock);
    report("the devices are lost, as was asked for");
    lose_devices();
}

// ("checked", "0|1"), ("lazy", "0|1"), ("schedule", "forward|reverse|random:SEED"), or any variable GRAFT_EMU_...; returns 0, or 1 for a name or value not known.
// "checked" decides how modules are loaded: after a change load them again (a new context of the runtime's does); images need not be compiled again.
EXPORT int emuSetMode(const char* name, const char* value)
{
    Guard guard(lock);
    return set_mode(name, value) ? 0 : 1;
}

// Device bytes allocated and not freed, on all devices.
EXPORT long emuLiveBytes()
{
    Guard guard(lock);
    return live_bytes();
}

// Kernels run so far, replays included.
EXPORT long emuLaunches()
{
    Guard guard(lock);
    return launches;
}
