// mutants.cpp: runs one file of broken kernels: mutants HEADERS_FOLDER FILE.cu. Each file has a kernel `control`, which is right, and a kernel `mutant`, which is not;
// its first lines say how they are launched and what must be found:
//   // Launch   grid 1, block 64, shared 0, n 64
//   // Fast     "reported TEXT", "differs" or "missed";     over the schedules forward, reverse and two random ones
//   // Checked  the same
// Both have the parameters (float* out, const float* in, int n); out and in have n floats, in[i] = i + 1.
// The control must be without report, and give the same bits, in every mode. `differs`: the mutant's result is not the control's, or not the same in every schedule.
#include "driver.h"

struct Run
{
    int error;
    std::string report;
    std::vector<uint32_t> bits;
};

struct Mutant
{
    int grid = 1, block = 32, shared = 0, n = 32;
    std::string fast, checked, source;
    Headers headers;
};

static std::string after(const std::string& source, const std::string& key)
{
    size_t at = source.find("// " + key);
    if (at == std::string::npos)
    {
        return "";
    }

    at += 3 + key.size();
    at = source.find_first_not_of(' ', at);
    return source.substr(at, source.find('\n', at) - at);
}

static Run run(const Mutant& m, void* module, const char* kernel)
{
    void* function;
    EQUAL(cuModuleGetFunction(&function, module, kernel), 0);
    Address in, out;
    size_t bytes = (size_t)m.n * 4;
    std::vector<float> numbers;
    for (int i = 0; i < m.n; i++)
    {
        numbers.push_back((float)(i + 1));
    }

    EQUAL(cuMemAlloc_v2(&in, bytes), 0);
    EQUAL(cuMemAlloc_v2(&out, bytes), 0);
    EQUAL(cuMemcpyHtoD_v2(in, numbers.data(), bytes), 0);
    int n = m.n;
    void* parameters[] = {&out, &in, &n};
    if (m.shared > 49152)
    {
        EQUAL(cuFuncSetAttribute(function, 8, m.shared), 0);
    }

    Run r;
    r.error = cuLaunchKernel(function, (unsigned)m.grid, 1, 1, (unsigned)m.block, 1, 1, (unsigned)m.shared, nullptr, parameters, nullptr);
    r.report = emuLastReport();
    r.bits.resize((size_t)m.n);
    if (r.error == 0)
    {
        EQUAL(cuMemcpyDtoH_v2(r.bits.data(), out, bytes), 0);
    }
    else
    {
        // A fault is sticky until the context is made anew, or emuReset.
        HOLDS(cuCtxSynchronize() == r.error);
    }

    emuReset();
    EQUAL(cuMemFree_v2(in), 0);
    EQUAL(cuMemFree_v2(out), 0);
    emuReset();
    return r;
}

static const char* const schedules[] = {"forward", "reverse", "random:1", "random:2"};

static std::vector<Run> run_all(const Mutant& m, void* module, const char* kernel)
{
    std::vector<Run> runs;
    for (const char* schedule : schedules)
    {
        EQUAL(emuSetMode("schedule", schedule), 0);
        runs.push_back(run(m, module, kernel));
    }

    return runs;
}

// TEXT may be several, separated by |: another order can find another side of the same mistake.
static bool has_one_of(const std::string& report, const std::string& texts)
{
    std::stringstream all(texts);
    std::string text;
    while (std::getline(all, text, '|'))
    {
        if (report.find(text) != std::string::npos)
        {
            return true;
        }
    }

    return false;
}

static void expect(const std::string& mode, const std::string& expected, const std::vector<Run>& control, const std::vector<Run>& mutant)
{
    bool reported = true, differs = false;
    std::string wanted = expected.compare(0, 9, "reported ") == 0 ? expected.substr(9) : "", first_report;
    for (size_t i = 0; i < mutant.size(); i++)
    {
        HOLDS(control[i].error == 0 && control[i].report.empty());
        HOLDS(control[i].bits == control[0].bits);
        if (!control[i].report.empty())
        {
            printf("  the control was reported (%s): %s\n", schedules[i], control[i].report.c_str());
        }

        reported = reported && mutant[i].error != 0 && has_one_of(mutant[i].report, wanted);
        differs = differs || mutant[i].error != 0 || mutant[i].bits != control[i].bits;
        first_report = first_report.empty() ? mutant[i].report : first_report;
    }

    bool good = !wanted.empty() ? reported : expected == "differs" ? differs : expected == "missed" && !differs;
    printf("%s  %s: expected %s; %s\n", good ? "ok" : "FAILED", mode.c_str(), expected.c_str(),
           !first_report.empty() ? first_report.c_str() : differs ? "result differs, no report" : "nothing was found");
    failures += !good;
}

int main(int count, char** arguments)
{
    if (count != 3)
    {
        fprintf(stderr, "mutants HEADERS_FOLDER FILE.cu\n");
        return 2;
    }

    Mutant m;
    m.source = text_of(arguments[2]);
    m.fast = after(m.source, "Fast");
    m.checked = after(m.source, "Checked");
    if (sscanf(after(m.source, "Launch").c_str(), "grid %d, block %d, shared %d, n %d", &m.grid, &m.block, &m.shared, &m.n) != 4 || m.fast.empty() || m.checked.empty())
    {
        fprintf(stderr, "%s: the lines Launch, Fast and Checked are missing or wrong\n", arguments[2]);
        return 2;
    }

    for (const char* header : {"hardware.cuh", "common.cuh"})
    {
        m.headers.names.push_back(header);
        m.headers.texts.push_back(text_of(std::string(arguments[1]) + "/" + header));
    }

    void *context, *module;
    EQUAL(cuInit(0), 0);
    EQUAL(cuDevicePrimaryCtxRetain(&context, 0), 0);
    EQUAL(cuCtxSetCurrent(context), 0);
    for (const char* checked : {"0", "1"})
    {
        emuSetMode("checked", checked);
        std::string image, log;
        if (compile(m.source, arguments[2], m.headers, {"--gpu-architecture=sm_90", "--std=c++17"}, image, log) != 0)
        {
            printf("FAILED to compile: %s\n", log.c_str());
            return 1;
        }

        if (int error = cuModuleLoadData(&module, image.data()))
        {
            printf("FAILED to load: %d %s\n", error, emuLastReport());
            return 1;
        }

        std::vector<Run> control = run_all(m, module, "control"), mutant = run_all(m, module, "mutant");
        expect(*checked == '1' ? "checked" : "fast", *checked == '1' ? m.checked : m.fast, control, mutant);
        EQUAL(cuModuleUnload(module), 0);
    }

    EQUAL(emuLiveBytes(), 0);
    return failures == 0 ? 0 : 1;
}
