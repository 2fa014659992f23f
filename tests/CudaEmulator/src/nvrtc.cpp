// nvrtc.cpp: the ABI of NVRTC. Errors come back as the log, with the line of the kernel file. The "cubin" holds the object for fast mode and the rewritten text, which
// is compiled with hooks when it is loaded in checked mode: an image, and a cache of images, serves both.
#include <cstdlib>
#include <cstring>
#include <memory>
#include "compiler.h"
#include "modules.h"

namespace emu
{
enum nvrtcResult
{
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_OUT_OF_MEMORY = 1,
    NVRTC_ERROR_PROGRAM_CREATION_FAILURE = 2,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_PROGRAM = 4,
    NVRTC_ERROR_INVALID_OPTION = 5,
    NVRTC_ERROR_COMPILATION = 6,
};

struct Program
{
    Source source;
    std::string log, image;
    bool is_virtual = false;
};

struct Options
{
    unsigned architecture = 52, flags = 0;
    std::vector<std::string> definitions;
    std::string error;
};

static const unsigned architectures[] = {50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90};

static void parse_architecture(const std::string& value, Options& o)
{
    size_t digits = value.find('_');
    char* end = nullptr;
    unsigned number = digits == std::string::npos ? 0 : (unsigned)strtoul(value.c_str() + digits + 1, &end, 10);
    bool known = false;
    for (unsigned a : architectures)
    {
        known |= a == number;
    }

    bool specific = number == 90 && end != nullptr && strcmp(end, "a") == 0;
    if (!known || (value.compare(0, 3, "sm_") != 0 && value.compare(0, 8, "compute_") != 0) || (*end != 0 && !specific))
    {
        o.error = "nvrtc: error: invalid value for --gpu-architecture (-arch): " + value;
        return;
    }

    o.architecture = number;
    o.flags = (specific ? image_specific : 0) | (value[0] == 'c' ? image_virtual : 0);
}

static Options parse(int count, const char* const* given)
{
    static const char* const harmless[] = {"--std=c++17", "-std=c++17", "--restrict", "-restrict", "-lineinfo", "--generate-line-info", "--extra-device-vectorization", "--ptxas-options=-v",
                                           "-Xptxas=-v", "--fmad=true", "--fmad=false", "-fmad=true", "-fmad=false", "--device-as-default-execution-space", "-default-device"};
    Options o;
    for (int i = 0; i < count && o.error.empty(); i++)
    {
        std::string option = given[i];
        size_t equals = option.find('=');
        std::string key = option.substr(0, equals), value = equals == std::string::npos ? "" : option.substr(equals + 1);
        bool known = false;
        for (const char* h : harmless)
        {
            known |= option == h;
        }

        if (key == "--gpu-architecture" || key == "-arch")
        {
            parse_architecture(value, o);
        }
        else if (key == "--define-macro")
        {
            o.definitions.push_back("-D" + value);
        }
        else if (option.compare(0, 2, "-D") == 0 && option.size() > 2)
        {
            o.definitions.push_back(option);
        }
        else if (!known)
        {
            o.error = "nvrtc: error: unrecognized option " + option + " found";
        }
    }

    return o;
}
} // namespace emu

using namespace emu;

EXPORT int nvrtcVersion(int* major, int* minor)
{
    *major = 12;
    *minor = 4;
    return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetNumSupportedArchs(int* count)
{
    *count = (int)(sizeof(architectures) / sizeof(architectures[0]));
    return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetSupportedArchs(int* all)
{
    for (unsigned a : architectures)
    {
        *all++ = (int)a;
    }

    return NVRTC_SUCCESS;
}

EXPORT const char* nvrtcGetErrorString(int result)
{
    static const char* const names[] = {"NVRTC_SUCCESS", "NVRTC_ERROR_OUT_OF_MEMORY", "NVRTC_ERROR_PROGRAM_CREATION_FAILURE", "NVRTC_ERROR_INVALID_INPUT", "NVRTC_ERROR_INVALID_PROGRAM",
                                        "NVRTC_ERROR_INVALID_OPTION", "NVRTC_ERROR_COMPILATION"};
    return result >= 0 && result <= 6 ? names[result] : "NVRTC_ERROR unknown";
}

EXPORT int nvrtcCreateProgram(Program** program, const char* source, const char* name, int headers, const char* const* texts, const char* const* names)
{
    if (program == nullptr || source == nullptr || headers < 0 || (headers > 0 && (texts == nullptr || names == nullptr)))
    {
        return NVRTC_ERROR_INVALID_INPUT;
    }

    auto p = std::make_unique<Program>();
    p->source.text = source;
    p->source.name = name == nullptr || *name == 0 ? "default_program" : name;
    for (int i = 0; i < headers; i++)
    {
        p->source.headers.emplace_back(names[i], texts[i]);
    }

    *program = p.release();
    return NVRTC_SUCCESS;
}

EXPORT int nvrtcDestroyProgram(Program** program)
{
    if (program == nullptr || *program == nullptr)
    {
        return NVRTC_ERROR_INVALID_PROGRAM;
    }

    delete *program;
    *program = nullptr;
    return NVRTC_SUCCESS;
}

// Takes no lock while g++ runs: programs may be compiled in parallel.
EXPORT int nvrtcCompileProgram(Program* p, int count, const char* const* given)
{
    if (p == nullptr)
    {
        return NVRTC_ERROR_INVALID_PROGRAM;
    }

    Options o = parse(count, given);
    p->log.clear();
    p->image.clear();
    p->is_virtual = (o.flags & image_virtual) != 0;
    if (!o.error.empty())
    {
        p->log = o.error;
        return NVRTC_ERROR_INVALID_OPTION;
    }

    p->source.definitions = o.definitions;
    p->source.architecture = o.architecture;
    std::string rewritten, elf, hooked;
    bool good = prepare(p->source, p->log, rewritten) && build_object(rewritten, false, p->log, elf);
    if (!good || (modes.checked && !build_object(rewritten, true, p->log, hooked)))
    {
        return NVRTC_ERROR_COMPILATION;
    }

    ImageHeader h = {{'G', 'R', 'A', 'F', 'T', 'E', 'M', 'U'}, image_hash(), elf.size(), rewritten.size(), o.architecture, o.flags};
    p->image.assign((const char*)&h, sizeof(h));
    p->image += elf + rewritten;
    return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetProgramLogSize(Program* p, size_t* bytes)
{
    *bytes = p->log.size() + 1;
    return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetProgramLog(Program* p, char* log)
{
    memcpy(log, p->log.c_str(), p->log.size() + 1);
    return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetCUBINSize(Program* p, size_t* bytes)
{
    *bytes = p->is_virtual ? 0 : p->image.size();
    return p->image.empty() ? NVRTC_ERROR_INVALID_PROGRAM : NVRTC_SUCCESS;
}

EXPORT int nvrtcGetCUBIN(Program* p, char* image)
{
    if (p->image.empty() || p->is_virtual)
    {
        return NVRTC_ERROR_INVALID_PROGRAM;
    }

    memcpy(image, p->image.data(), p->image.size());
    return NVRTC_SUCCESS;
}

// "PTX" is the same image; it is asked for where the architecture is a virtual one.
EXPORT int nvrtcGetPTXSize(Program* p, size_t* bytes)
{
    *bytes = p->image.size();
    return p->image.empty() ? NVRTC_ERROR_INVALID_PROGRAM : NVRTC_SUCCESS;
}

EXPORT int nvrtcGetPTX(Program* p, char* image)
{
    if (p->image.empty())
    {
        return NVRTC_ERROR_INVALID_PROGRAM;
    }

    memcpy(image, p->image.data(), p->image.size());
    return NVRTC_SUCCESS;
}
