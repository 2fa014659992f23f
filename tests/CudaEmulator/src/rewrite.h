// rewrite.h: what must change in a kernel file before g++ can compile it.
#pragma once
#include <string>
#include <vector>

namespace emu
{
struct Rewritten
{
    std::string text;
    std::vector<std::string> kernels;
};

// `text` has been preprocessed, so that kernels and arrays made by macros are seen.
Rewritten rewrite(const std::string& text);
} // namespace emu
