// compiler.h: from a kernel file to a shared object, in two steps. Neither takes the lock while g++ runs.
#pragma once
#include <string>
#include <vector>
#include "state.h"

namespace emu
{
struct Source
{
    std::string text, name;
    std::vector<std::pair<std::string, std::string>> headers; // name, text
    std::vector<std::string> definitions;                     // -D...
    unsigned architecture = 0;
};

// Preprocesses without any header of the host, and rewrites.
bool prepare(const Source& source, std::string& log, std::string& rewritten);

// Compiles, with hooks for checked mode or without, or finds what was compiled before.
bool build_object(const std::string& rewritten, bool checked, std::string& log, std::string& elf);
} // namespace emu
