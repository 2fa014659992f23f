// nvrtc.cpp: nvrtcCompileProgram by g++. The file is preprocessed without any header of the host, rewritten, compiled with the shim before it, and linked into a
// shared object that becomes the "cubin". Errors come back as the log, with the line of the kernel file.
#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include "modules.h"
#include "rewrite.h"

extern char** environ;

namespace emu
{
static const char shim_text[] =
#include "shim_text.inc"
    ;

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
    std::string source, name, log, image;
    std::vector<std::pair<std::string, std::string>> headers;
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

static void write_file(const std::string& path, const std::string& text)
{
    for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    {
        mkdir(path.substr(0, slash).c_str(), 0700);
    }

    std::ofstream(path, std::ios::binary) << text;
}

static std::string read_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

static void remove_folder(const std::string& path)
{
    if (DIR* folder = opendir(path.c_str()))
    {
        while (dirent* entry = readdir(folder))
        {
            std::string name = entry->d_name, whole = path + "/" + name;
            if (name != "." && name != "..")
            {
                struct stat status;
                lstat(whole.c_str(), &status);
                S_ISDIR(status.st_mode) ? remove_folder(whole) : (void)unlink(whole.c_str());
            }
        }

        closedir(folder);
    }

    rmdir(path.c_str());
}

// Runs g++ in the folder; standard output and error go into the log. True for exit code 0.
static bool run_compiler(const std::string& folder, std::vector<std::string> arguments, std::string& log)
{
    const char* compiler = getenv("GRAFT_EMU_CXX");
    arguments.insert(arguments.begin(), compiler != nullptr && *compiler != 0 ? compiler : "g++");
    std::vector<char*> pointers;
    for (std::string& a : arguments)
    {
        pointers.push_back(&a[0]);
    }

    pointers.push_back(nullptr);
    std::string output = folder + "/log.txt";
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());

    // The host may block signals or preload libraries; the compiler needs neither.
    std::vector<char*> environment;
    static char locale[] = "LC_ALL=C";
    for (char** e = environ; *e != nullptr; e++)
    {
        if (strncmp(*e, "LD_PRELOAD=", 11) != 0 && strncmp(*e, "LC_ALL=", 7) != 0)
        {
            environment.push_back(*e);
        }
    }

    environment.push_back(locale);
    environment.push_back(nullptr);
    pid_t child;
    int failed = posix_spawnp(&child, pointers[0], &actions, nullptr, pointers.data(), environment.data());
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0)
    {
        log += std::string("nvrtc (emulated): cannot run ") + pointers[0] + ": " + strerror(failed) + "\n";
        return false;
    }

    int status = 1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    {
    }

    log += read_file(output);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static std::vector<std::string> code_options(bool checked)
{
    std::vector<std::string> all = {"-std=c++17", "-O2", "-fPIC", "-shared", "-nostdlib", "-nostdinc", "-ffp-contract=off", "-fno-strict-aliasing", "-fno-exceptions", "-fno-rtti",
                                    "-fno-gnu-unique", "-fno-math-errno", "-fno-trapping-math", "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fstack-clash-protection",
                                    "-fvisibility=hidden", "-w", "-pipe"};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    {
        all.push_back("-mavx2");
        all.push_back("-mfma"); // fmaf as one instruction; contraction stays off
    }

    if (checked)
    {
        // -fno-builtin-memcpy and its like are not needed: the shim defines memcpy, memmove and memset with hooks.
        for (const char* o : {"-fsanitize=thread", "-fsanitize=alignment,bounds", "-fsanitize-undefined-trap-on-error", "--param", "tsan-instrument-func-entry-exit=0", "-DEMU_CHECKED=1"})
        {
            all.push_back(o);
        }
    }

    return all;
}

static std::string file_name(const std::string& name)
{
    std::string base = name.substr(name.find_last_of('/') + 1);
    return base.empty() || base == ".." ? "default_program" : base;
}

static bool compile(const Program& p, const Options& o, bool checked, std::string& log, std::string& elf)
{
    const char* root = getenv("TMPDIR");
    std::string folder = std::string(root != nullptr && *root != 0 ? root : "/tmp") + "/graft-emulator-XXXXXX";
    if (mkdtemp(&folder[0]) == nullptr)
    {
        log = "nvrtc (emulated): cannot make a folder under " + folder;
        return false;
    }

    std::string name = file_name(p.name);
    for (auto& header : p.headers)
    {
        write_file(folder + "/" + header.first, header.second);
    }

    write_file(folder + "/" + name, p.source);
    write_file(folder + "/emu/shim.h", shim_text);
    std::vector<std::string> first = {"-E", "-x", "c++", "-std=c++17", "-nostdinc", "-undef", "-I.", "-D__CUDACC__=1", "-D__CUDACC_RTC__=1", "-DGRAFT_EMULATOR=1",
                                      format("-D__CUDA_ARCH__=%u", o.architecture * 10), "-w", "-o", "emu/preprocessed.txt", name};
    first.insert(first.end(), o.definitions.begin(), o.definitions.end());
    bool good = run_compiler(folder, first, log);
    if (good)
    {
        write_file(folder + "/emu/rewritten.cpp", rewrite(read_file(folder + "/emu/preprocessed.txt")).text);
        std::vector<std::string> second = code_options(checked);
        for (const char* s : {"-include", "emu/shim.h", "-o", "emu/module.so", "emu/rewritten.cpp", "-lm", "-lc"})
        {
            second.push_back(s);
        }

        good = run_compiler(folder, second, log);
        elf = good ? read_file(folder + "/emu/module.so") : "";
        good = good && !elf.empty();
    }

    remove_folder(folder);
    return good;
}

// ---- cache: in the process, and in the folder GRAFT_EMU_CACHE -----------------------------------------------------------------------------------------
static std::map<std::string, std::string> compiled;

static std::string cache_key(const Program& p, const Options& o, bool checked)
{
    std::string all = build_hash();
    auto add = [&all](const std::string& part) { all += format("\n%zu\n", part.size()) + part; };
    add(p.source);
    add(file_name(p.name));
    for (auto& header : p.headers)
    {
        add(header.first);
        add(header.second);
    }

    for (auto& definition : o.definitions)
    {
        add(definition);
    }

    for (auto& option : code_options(checked))
    {
        add(option);
    }

    add(format("%u %u", o.architecture, o.flags));
    return format("%016lx%016lx", hash64(all.data(), all.size(), 1), hash64(all.data(), all.size(), 0x9E3779B97F4A7C15u));
}

static std::string cache_file(const std::string& key)
{
    const char* folder = getenv("GRAFT_EMU_CACHE");
    return folder == nullptr || *folder == 0 ? "" : std::string(folder) + "/" + key + ".emu";
}

static bool from_cache(const std::string& key, std::string& image)
{
    {
        Guard guard(lock);
        auto known = compiled.find(key);
        if (known != compiled.end())
        {
            image = known->second;
            return true;
        }
    }

    std::string file = cache_file(key);
    image = file.empty() ? "" : read_file(file);
    ImageHeader h;
    if (image.size() < sizeof(h))
    {
        return false;
    }

    memcpy(&h, image.data(), sizeof(h));
    return memcmp(h.magic, "GRAFTEMU", 8) == 0 && h.bytes + sizeof(h) == image.size();
}

static void into_cache(const std::string& key, const std::string& image)
{
    Guard guard(lock);
    compiled[key] = image;
    std::string file = cache_file(key);
    if (!file.empty())
    {
        std::string part = file + format(".%d.tmp", (int)getpid());
        write_file(part, image);
        rename(part.c_str(), file.c_str());
    }
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
    p->source = source;
    p->name = name == nullptr || *name == 0 ? "default_program" : name;
    for (int i = 0; i < headers; i++)
    {
        p->headers.emplace_back(names[i], texts[i]);
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

    bool checked = modes.checked;
    std::string key = cache_key(*p, o, checked), elf;
    if (from_cache(key, p->image))
    {
        return NVRTC_SUCCESS;
    }

    if (!compile(*p, o, checked, p->log, elf))
    {
        p->image.clear();
        return NVRTC_ERROR_COMPILATION;
    }

    ImageHeader h = {{'G', 'R', 'A', 'F', 'T', 'E', 'M', 'U'}, image_hash(checked), elf.size(), o.architecture, o.flags};
    p->image.assign((const char*)&h, sizeof(h));
    p->image += elf;
    into_cache(key, p->image);
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
