// driver.h: what the two check programs use of the driver, and a way to say what holds.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

extern "C"
{
    typedef unsigned long long Address;
    int cuInit(unsigned);
    int cuDriverGetVersion(int*);
    int cuDeviceGetCount(int*);
    int cuDeviceGetName(char*, int, int);
    int cuDeviceGetAttribute(int*, int, int);
    int cuDevicePrimaryCtxRetain(void**, int);
    int cuDevicePrimaryCtxRelease_v2(int);
    int cuCtxSetCurrent(void*);
    int cuCtxSynchronize();
    int cuCtxEnablePeerAccess(void*, unsigned);
    int cuMemAlloc_v2(Address*, size_t);
    int cuMemAllocAsync(Address*, size_t, void*);
    int cuMemFree_v2(Address);
    int cuMemFreeAsync(Address, void*);
    int cuMemGetInfo_v2(size_t*, size_t*);
    int cuMemHostAlloc(void**, size_t, unsigned);
    int cuMemFreeHost(void*);
    int cuMemcpyHtoD_v2(Address, const void*, size_t);
    int cuMemcpyDtoH_v2(void*, Address, size_t);
    int cuMemcpyHtoDAsync_v2(Address, const void*, size_t, void*);
    int cuMemcpyDtoHAsync_v2(void*, Address, size_t, void*);
    int cuMemcpyDtoDAsync_v2(Address, Address, size_t, void*);
    int cuMemsetD32Async(Address, unsigned, size_t, void*);
    int cuStreamCreate(void**, unsigned);
    int cuStreamDestroy_v2(void*);
    int cuStreamSynchronize(void*);
    int cuStreamQuery(void*);
    int cuStreamWaitEvent(void*, void*, unsigned);
    int cuEventCreate(void**, unsigned);
    int cuEventRecord(void*, void*);
    int cuEventSynchronize(void*);
    int cuEventElapsedTime(float*, void*, void*);
    int cuEventDestroy_v2(void*);
    int cuStreamBeginCapture_v2(void*, int);
    int cuStreamEndCapture(void*, void**);
    int cuGraphInstantiateWithFlags(void**, void*, unsigned long long);
    int cuGraphGetNodes(void*, void**, size_t*);
    int cuGraphLaunch(void*, void*);
    int cuGraphExecDestroy(void*);
    int cuGraphDestroy(void*);
    int cuModuleLoadData(void**, const void*);
    int cuModuleUnload(void*);
    int cuModuleGetFunction(void**, void*, const char*);
    int cuFuncSetAttribute(void*, int, int);
    int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
    int nvrtcCreateProgram(void**, const char*, const char*, int, const char* const*, const char* const*);
    int nvrtcDestroyProgram(void**);
    int nvrtcCompileProgram(void*, int, const char* const*);
    int nvrtcGetProgramLogSize(void*, size_t*);
    int nvrtcGetProgramLog(void*, char*);
    int nvrtcGetCUBINSize(void*, size_t*);
    int nvrtcGetCUBIN(void*, char*);
    const char* emuLastReport();
    void emuReset();
    int emuSetMode(const char*, const char*);
    long emuLiveBytes();
    long emuLaunches();
}

static int failures;

// Says that a check does not hold, and goes on.
#define HOLDS(condition)                                                              \
    do                                                                                \
    {                                                                                 \
        if (!(condition))                                                             \
        {                                                                             \
            printf("FAILED line %d: %s   [%s]\n", __LINE__, #condition, emuLastReport()); \
            failures++;                                                               \
        }                                                                             \
    } while (0)

#define EQUAL(actual, expected)                                                                                         \
    do                                                                                                                  \
    {                                                                                                                   \
        long is_ = (long)(actual), should_ = (long)(expected);                                                          \
        if (is_ != should_)                                                                                             \
        {                                                                                                               \
            printf("FAILED line %d: %s is %ld, should be %ld   [%s]\n", __LINE__, #actual, is_, should_, emuLastReport()); \
            failures++;                                                                                                 \
        }                                                                                                               \
    } while (0)

inline std::string text_of(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

struct Headers
{
    std::vector<std::string> names, texts;
};

inline int compile(const std::string& source, const char* name, const Headers& headers, std::vector<const char*> options, std::string& image, std::string& log)
{
    std::vector<const char*> names, texts;
    for (size_t i = 0; i < headers.names.size(); i++)
    {
        names.push_back(headers.names[i].c_str());
        texts.push_back(headers.texts[i].c_str());
    }

    void* program;
    EQUAL(nvrtcCreateProgram(&program, source.c_str(), name, (int)names.size(), texts.data(), names.data()), 0);
    int result = nvrtcCompileProgram(program, (int)options.size(), options.data());
    size_t bytes = 0;
    nvrtcGetProgramLogSize(program, &bytes);
    log.resize(bytes);
    nvrtcGetProgramLog(program, &log[0]);
    if (result == 0)
    {
        EQUAL(nvrtcGetCUBINSize(program, &bytes), 0);
        image.resize(bytes);
        EQUAL(nvrtcGetCUBIN(program, &image[0]), 0);
    }

    nvrtcDestroyProgram(&program);
    return result;
}
