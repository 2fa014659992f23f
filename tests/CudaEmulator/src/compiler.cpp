// compiler.cpp: g++ as a child process, in a folder of its own, and the objects it has made: kept in the process and in the folder GRAFT_EMU_CACHE.
#include "compiler.h"
#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include "rewrite.h"

extern char** environ;

namespace emu
{
static const char shim_text[] =
#include "shim_text.inc"
    ;

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

// A folder for one run of the compiler.
struct WorkFolder
{
    std::string path;

    WorkFolder()
    {
        const char* root = getenv("TMPDIR");
        path = std::string(root != nullptr && *root != 0 ? root : "/tmp") + "/graft-emulator-XXXXXX";
        path = mkdtemp(&path[0]) != nullptr ? path : "";
    }

    ~WorkFolder()
    {
        if (!path.empty())
        {
            remove_folder(path);
        }
    }
};

static bool no_folder(std::string& log)
{
    log = "nvrtc (emulated): cannot make a folder for the compiler in TMPDIR or /tmp";
    return false;
}

static std::string file_name(const std::string& name)
{
    std::string base = name.substr(name.find_last_of('/') + 1);
    return base.empty() || base == ".." ? "default_program" : base;
}

bool prepare(const Source& source, std::string& log, std::string& rewritten)
{
    WorkFolder folder;
    if (folder.path.empty())
    {
        return no_folder(log);
    }

    std::string name = file_name(source.name);
    for (auto& header : source.headers)
    {
        write_file(folder.path + "/" + header.first, header.second);
    }

    write_file(folder.path + "/" + name, source.text);
    std::vector<std::string> arguments = {"-E", "-x", "c++", "-std=c++17", "-nostdinc", "-undef", "-I.", "-D__CUDACC__=1", "-D__CUDACC_RTC__=1", "-DGRAFT_EMULATOR=1",
                                          format("-D__CUDA_ARCH__=%u", source.architecture * 10), "-w", "-o", "preprocessed.txt", name};
    arguments.insert(arguments.end(), source.definitions.begin(), source.definitions.end());
    if (!run_compiler(folder.path, arguments, log))
    {
        return false;
    }

    rewritten = rewrite(read_file(folder.path + "/preprocessed.txt")).text;
    return true;
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

static bool compile(const std::string& rewritten, bool checked, std::string& log, std::string& elf)
{
    WorkFolder folder;
    if (folder.path.empty())
    {
        return no_folder(log);
    }

    write_file(folder.path + "/shim.h", shim_text);
    write_file(folder.path + "/rewritten.cpp", rewritten);
    std::vector<std::string> arguments = code_options(checked);
    for (const char* s : {"-include", "shim.h", "-o", "module.so", "rewritten.cpp", "-lm", "-lc"})
    {
        arguments.push_back(s);
    }

    if (!run_compiler(folder.path, arguments, log))
    {
        return false;
    }

    elf = read_file(folder.path + "/module.so");
    return !elf.empty();
}

// ---- objects that were made before ------------------------------------------------------------------------------------------------------------------
// Never destroyed: the process may end while other threads still use the driver.
static std::map<std::string, std::string>& objects = *new std::map<std::string, std::string>;

static std::string object_key(const std::string& rewritten, bool checked)
{
    std::string all = build_hash();
    for (auto& option : code_options(checked))
    {
        all += "\n" + option;
    }

    all += "\n" + rewritten;
    return format("%016lx%016lx", hash64(all.data(), all.size(), 1), hash64(all.data(), all.size(), 0x9E3779B97F4A7C15u));
}

// Empty where GRAFT_EMU_CACHE is not set. A file is the object and its hash.
static std::string object_file(const std::string& key)
{
    const char* folder = getenv("GRAFT_EMU_CACHE");
    return folder == nullptr || *folder == 0 ? "" : std::string(folder) + "/" + key + ".o";
}

static bool find_object(const std::string& key, std::string& elf)
{
    {
        Guard guard(lock);
        auto known = objects.find(key);
        if (known != objects.end())
        {
            elf = known->second;
            return true;
        }
    }

    std::string path = object_file(key), file = path.empty() ? "" : read_file(path);
    uint64_t hash;
    if (file.size() <= sizeof(hash))
    {
        return false;
    }

    elf = file.substr(0, file.size() - sizeof(hash));
    memcpy(&hash, file.data() + elf.size(), sizeof(hash));
    return hash == hash64(elf.data(), elf.size(), 3);
}

static void keep_object(const std::string& key, const std::string& elf)
{
    Guard guard(lock);
    objects[key] = elf;
    std::string path = object_file(key);
    if (!path.empty())
    {
        uint64_t hash = hash64(elf.data(), elf.size(), 3);
        std::string part = path + format(".%d.tmp", (int)getpid());
        write_file(part, elf + std::string((const char*)&hash, sizeof(hash)));
        rename(part.c_str(), path.c_str());
    }
}

bool build_object(const std::string& rewritten, bool checked, std::string& log, std::string& elf)
{
    std::string key = object_key(rewritten, checked);
    if (find_object(key, elf))
    {
        return true;
    }

    if (!compile(rewritten, checked, log, elf))
    {
        return false;
    }

    keep_object(key, elf);
    return true;
}
} // namespace emu
