// host.cpp: what the emulated driver must do beside running kernels: host SECTION, one process each. Prints what does not hold; exit code 0 if all does.
#include <functional>
#include <map>
#include <thread>
#include "driver.h"

extern "C"
{
    int cublasLtCreate(void**);
    int cublasLtDestroy(void*);
    int cublasLtMatmulDescCreate(void**, int, int);
    int cublasLtMatmulDescDestroy(void*);
    int cublasLtMatmulDescSetAttribute(void*, int, const void*, size_t);
    int cublasLtMatrixLayoutCreate(void**, int, uint64_t, uint64_t, int64_t);
    int cublasLtMatrixLayoutSetAttribute(void*, int, const void*, size_t);
    int cublasLtMatrixLayoutDestroy(void*);
    int cublasLtMatmul(void*, void*, const void*, const void*, void*, const void*, void*, const void*, const void*, void*, void*, void*, const void*, void*, size_t, void*);
}

static const char kernels[] = R"(
extern "C" __global__ void add(float* x, float value, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
    {
        x[i] += value;
    }
}

extern "C" __global__ void large_shared(float* x)
{
    extern __shared__ float tile[];
    tile[threadIdx.x] = 1;
    x[threadIdx.x] = tile[threadIdx.x];
}
)";

static void *context, *module, *add;

static void start()
{
    EQUAL(cuInit(0), 0);
    EQUAL(cuDevicePrimaryCtxRetain(&context, 0), 0);
    EQUAL(cuCtxSetCurrent(context), 0);
    std::string image, log;
    EQUAL(compile(kernels, "kernels.cu", {}, {"--gpu-architecture=sm_90"}, image, log), 0);
    EQUAL(cuModuleLoadData(&module, image.data()), 0);
    EQUAL(cuModuleGetFunction(&add, module, "add"), 0);
}

static int launch(Address x, float value, int n, void* stream = nullptr)
{
    void* parameters[] = {&x, &value, &n};
    return cuLaunchKernel(add, (unsigned)(n + 63) / 64, 1, 1, 64, 1, 1, 0, stream, parameters, nullptr);
}

static Address zeros(size_t count)
{
    Address x = 0;
    EQUAL(cuMemAlloc_v2(&x, count * 4), 0);
    EQUAL(cuMemsetD32Async(x, 0, count, nullptr), 0);
    EQUAL(cuCtxSynchronize(), 0);
    return x;
}

static float first(Address x)
{
    float value = -1;
    EQUAL(cuMemcpyDtoH_v2(&value, x, 4), 0);
    return value;
}

// ---- sections -------------------------------------------------------------------------------------------------------------------------------------
static void memory()
{
    start();
    EQUAL(emuLiveBytes(), 0);
    Address a, b;
    size_t free_before, free_after, total;
    EQUAL(cuMemGetInfo_v2(&free_before, &total), 0);
    EQUAL(total, 1 << 20);
    EQUAL(cuMemAlloc_v2(&a, 1000), 0);
    EQUAL(a % 256, 0);
    float fresh[250];
    EQUAL(cuMemcpyDtoH_v2(fresh, a, 1000), 0);
    HOLDS(std::isnan(fresh[0]) && std::isnan(fresh[249]));
    EQUAL(cuMemAlloc_v2(&b, 1 << 20), 2);
    EQUAL(cuMemAlloc_v2(&b, 1000000), 0);
    EQUAL(emuLiveBytes(), 1001000);
    EQUAL(cuMemFree_v2(b), 0);
    EQUAL(cuMemFree_v2(b), 1);
    EQUAL(cuMemcpyDtoH_v2(fresh, a, 1001), 1);
    HOLDS(strstr(emuLastReport(), "copy from the device") != nullptr);
    EQUAL(cuMemcpyDtoH_v2(fresh, b, 4), 1);
    HOLDS(strstr(emuLastReport(), "freed") != nullptr);
    EQUAL(launch(a, 1, 250), 0);
    EQUAL(cuMemFree_v2(a), 0);
    EQUAL(cuMemGetInfo_v2(&free_after, &total), 0);
    EQUAL(free_after, free_before);
    EQUAL(emuLiveBytes(), 0);
}

static void faults()
{
    start();
    Address x = zeros(64), freed = zeros(64);
    EQUAL(cuMemFree_v2(freed), 0);
    EQUAL(launch(freed, 1, 64), 700);
    HOLDS(strstr(emuLastReport(), "freed") != nullptr && strstr(emuLastReport(), "kernel add, block (0, 0, 0)") != nullptr);
    float host;
    EQUAL(launch(x, 1, 64), 700);
    EQUAL(cuMemcpyDtoH_v2(&host, x, 4), 700);
    EQUAL(cuCtxSynchronize(), 700);
    emuReset();
    EQUAL(launch(x, 1, 64), 0);
    HOLDS(first(x) == 1);
    EQUAL(launch(0, 1, 64), 700);
    EQUAL(cuMemFree_v2(x), 700); // freed all the same
    EQUAL(emuLiveBytes(), 0);
    EQUAL(cuDevicePrimaryCtxRelease_v2(0), 0);
    EQUAL(cuDevicePrimaryCtxRetain(&context, 0), 0);
    EQUAL(cuCtxSynchronize(), 0); // a new context knows nothing of it
}

static void limits()
{
    start();
    Address x = zeros(1024);
    void* parameters[] = {&x};
    void* large;
    EQUAL(cuModuleGetFunction(&large, module, "none"), 500);
    EQUAL(cuModuleGetFunction(&large, module, "large_shared"), 0);
    EQUAL(cuLaunchKernel(large, 1, 1, 1, 1025, 1, 1, 64, nullptr, parameters, nullptr), 1);
    EQUAL(cuLaunchKernel(large, 1, 65536, 1, 32, 1, 1, 128, nullptr, parameters, nullptr), 1);
    EQUAL(cuLaunchKernel(large, 0, 1, 1, 32, 1, 1, 128, nullptr, parameters, nullptr), 1);
    EQUAL(cuLaunchKernel(large, 1, 1, 1, 1024, 1, 1, 65536, nullptr, parameters, nullptr), 1);
    EQUAL(cuFuncSetAttribute(large, 8, 232449), 1);
    EQUAL(cuFuncSetAttribute(large, 8, 232448), 0);
    EQUAL(cuLaunchKernel(large, 1, 1, 1, 1024, 1, 1, 232448, nullptr, parameters, nullptr), 0);
    EQUAL(cuLaunchKernel(large, 1, 1, 1, 32, 1, 1, 128, (void*)12345, parameters, nullptr), 400);
    HOLDS(first(x) == 1);
}

static void compiler()
{
    start();
    std::string image, log;
    EQUAL(compile("extern \"C\" __global__ void k(float* x)\n{\n    x[0] = y;\n}\n", "wrong.cu", {}, {"--gpu-architecture=sm_90"}, image, log), 6);
    HOLDS(log.find("wrong.cu:3:") != std::string::npos && log.find("y") != std::string::npos);
    EQUAL(compile("#include <math.h>\n", "host_header.cu", {}, {"--gpu-architecture=sm_90"}, image, log), 6);
    EQUAL(compile("#include \"a/b.cuh\"\nextern \"C\" __global__ void k(float* x) { x[0] = VALUE; }\n", "f.cu", {{"a/b.cuh"}, {"#define VALUE W\n"}}, {"--gpu-architecture=sm_90", "-DW=2"}, image, log), 0);
    EQUAL(compile(kernels, "k.cu", {}, {"--gpu-architecture=sm_91"}, image, log), 5);
    EQUAL(compile(kernels, "k.cu", {}, {"-I/usr/include"}, image, log), 5);
    EQUAL(compile(kernels, "k.cu", {}, {"--use_fast_math"}, image, log), 5);
    EQUAL(compile(kernels, "k.cu", {}, {"--gpu-architecture=sm_80", "--std=c++17", "--ptxas-options=-v", "--restrict", "--fmad=false", "-lineinfo"}, image, log), 0);
    void* other;
    EQUAL(cuModuleLoadData(&other, image.data()), 209); // sm_80 on a 9.0 device
    EQUAL(compile(kernels, "k.cu", {}, {"--gpu-architecture=sm_90a"}, image, log), 0);
    EQUAL(cuModuleLoadData(&other, image.data()), 0);
    EQUAL(cuModuleUnload(other), 0);
    image[8] ^= 1; // another build
    EQUAL(cuModuleLoadData(&other, image.data()), 200);
    EQUAL(cuModuleLoadData(&other, "\177ELF and so on, which is no image of ours at all ......."), 200);
}

static void graphs()
{
    start();
    Address x = zeros(100);
    void *stream, *other, *fork, *join, *graph, *executable;
    EQUAL(cuStreamCreate(&stream, 1), 0);
    EQUAL(cuStreamCreate(&other, 1), 0);
    EQUAL(cuEventCreate(&fork, 2), 0);
    EQUAL(cuEventCreate(&join, 2), 0);
    EQUAL(cuStreamBeginCapture_v2(stream, 0), 0);
    EQUAL(launch(x, 1, 100, stream), 0);
    EQUAL(cuEventRecord(fork, stream), 0);
    EQUAL(cuStreamWaitEvent(other, fork, 0), 0);
    EQUAL(launch(x, 2, 100, other), 0);
    EQUAL(cuEventRecord(join, other), 0);
    EQUAL(cuStreamWaitEvent(stream, join, 0), 0);
    EQUAL(cuStreamEndCapture(stream, &graph), 0);
    size_t nodes = 0;
    EQUAL(cuGraphGetNodes(graph, nullptr, &nodes), 0);
    EQUAL(nodes, 2);
    HOLDS(first(x) == 0); // nothing has run
    EQUAL(cuGraphInstantiateWithFlags(&executable, graph, 0), 0);
    EQUAL(cuGraphDestroy(graph), 0);
    for (int i = 0; i < 3; i++)
    {
        EQUAL(cuGraphLaunch(executable, stream), 0);
    }

    EQUAL(cuStreamSynchronize(stream), 0);
    HOLDS(first(x) == 9);
    EQUAL(cuGraphExecDestroy(executable), 0);
    EQUAL(cuGraphLaunch(executable, stream), 1);

    // What a capture does not allow.
    EQUAL(cuStreamBeginCapture_v2(nullptr, 0), 900);
    EQUAL(cuStreamBeginCapture_v2(stream, 0), 0);
    Address y;
    EQUAL(cuMemAlloc_v2(&y, 4), 900);
    EQUAL(cuStreamSynchronize(stream), 900);
    EQUAL(launch(x, 1, 100, stream), 901);
    EQUAL(cuStreamEndCapture(stream, &graph), 901);
    EQUAL(cuStreamBeginCapture_v2(stream, 0), 0);
    EQUAL(cuEventRecord(fork, stream), 0);
    EQUAL(cuStreamWaitEvent(other, fork, 0), 0);
    EQUAL(launch(x, 2, 100, other), 0);
    EQUAL(cuStreamEndCapture(stream, &graph), 904); // never joined
    EQUAL(launch(x, 1, 100, stream), 0);
    HOLDS(first(x) == 10);
}

static void lazy()
{
    start();
    emuSetMode("lazy", "1");
    Address x = zeros(16);
    void *a, *b, *event;
    float *host, *from;
    EQUAL(cuStreamCreate(&a, 1), 0);
    EQUAL(cuStreamCreate(&b, 1), 0);
    EQUAL(cuEventCreate(&event, 0), 0);
    EQUAL(cuMemHostAlloc((void**)&host, 64, 0), 0);
    EQUAL(cuMemHostAlloc((void**)&from, 64, 0), 0);

    // Read before synchronising: NaN until then.
    EQUAL(launch(x, 3, 16, a), 0);
    EQUAL(cuMemcpyDtoHAsync_v2(host, x, 64, a), 0);
    HOLDS(std::isnan(host[0]));
    EQUAL(cuStreamSynchronize(a), 0);
    HOLDS(host[0] == 3);

    // A pinned buffer that is used again too early gives its later content.
    from[0] = 5;
    EQUAL(cuMemcpyHtoDAsync_v2(x, from, 4, a), 0);
    from[0] = 6;
    EQUAL(cuStreamSynchronize(a), 0);
    HOLDS(first(x) == 6);

    // Without an event the other stream sees the old value, with one the new.
    EQUAL(launch(x, 1, 16, a), 0);
    EQUAL(cuMemcpyDtoHAsync_v2(host, x, 4, b), 0);
    EQUAL(cuStreamSynchronize(b), 0);
    HOLDS(host[0] == 6);
    EQUAL(cuEventRecord(event, a), 0);
    EQUAL(cuStreamWaitEvent(b, event, 0), 0);
    EQUAL(cuMemcpyDtoHAsync_v2(host, x, 4, b), 0);
    EQUAL(cuStreamSynchronize(b), 0);
    HOLDS(host[0] == 7);

    // Polling ends.
    EQUAL(launch(x, 1, 16, a), 0);
    int polls = 0;
    while (cuStreamQuery(a) == 600)
    {
        polls++;
    }

    EQUAL(polls, 1);

    // Used after it was freed in stream order: found when the stream runs, and sticky.
    Address y;
    EQUAL(cuMemAllocAsync(&y, 64, a), 0);
    EQUAL(cuMemFreeAsync(y, a), 0);
    EQUAL(launch(y, 1, 16, a), 0);
    EQUAL(cuStreamSynchronize(a), 700);
    EQUAL(cuCtxSynchronize(), 700);
}

static void two_devices()
{
    start();
    int count;
    EQUAL(cuDeviceGetCount(&count), 0);
    EQUAL(count, 2);
    Address x = zeros(16);
    void* second;
    EQUAL(cuDevicePrimaryCtxRetain(&second, 1), 0);
    EQUAL(cuCtxSetCurrent(second), 0);
    HOLDS(second != context);
    EQUAL(launch(x, 1, 16), 400); // the function is of the other context
    size_t free, total;
    EQUAL(cuMemGetInfo_v2(&free, &total), 0);
    EQUAL(free, total);
    std::string image, log;
    void *module_here, *add_here;
    EQUAL(compile(kernels, "kernels.cu", {}, {"--gpu-architecture=sm_90"}, image, log), 0);
    emuSetMode("checked", "1");
    EQUAL(cuModuleLoadData(&module_here, image.data()), 0);
    EQUAL(cuModuleGetFunction(&add_here, module_here, "add"), 0);
    add = add_here;
    EQUAL(launch(x, 1, 16), 700); // no peer access
    HOLDS(strstr(emuLastReport(), "no peer access") != nullptr);
    emuReset();
    EQUAL(cuCtxEnablePeerAccess(context, 0), 0);
    EQUAL(launch(x, 1, 16), 0);
    std::thread other([x] {
        float value;
        EQUAL(cuMemcpyDtoH_v2(&value, x, 4), 201); // a new thread has no context
        EQUAL(cuCtxSetCurrent(context), 0);
        EQUAL(cuMemcpyDtoH_v2(&value, x, 4), 0);
        HOLDS(value == 1);
    });
    other.join();
}

static float half_step(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits &= 0xffff0000u;
    memcpy(&x, &bits, 4);
    return x;
}

// D = alpha op(A) op(B) + beta C + bias, against the same in f64.
static void product(int type, int compute, bool ta, bool tb, int m, int n, int k, int batch, bool bias)
{
    size_t size = type == 0 ? 4 : 2;
    uint32_t state = 1;
    auto random = [&state] {
        state = state * 1664525u + 1013904223u;
        return half_step((float)(state >> 8) / (float)(1 << 24) - 0.5f);
    };
    auto upload = [&](std::vector<float>& values, size_t element) {
        Address x;
        EQUAL(cuMemAlloc_v2(&x, values.size() * element), 0);
        std::vector<char> bytes(values.size() * element);
        for (size_t i = 0; i < values.size(); i++)
        {
            uint32_t bits;
            memcpy(&bits, &values[i], 4);
            uint16_t upper = (uint16_t)(bits >> 16);
            memcpy(&bytes[i * element], element == 4 ? (void*)&bits : (void*)&upper, element);
        }

        EQUAL(cuMemcpyHtoD_v2(x, bytes.data(), bytes.size()), 0);
        return x;
    };
    std::vector<float> a((size_t)(m * k * batch)), b((size_t)(k * n * batch)), c((size_t)(m * n * batch)), v((size_t)m);
    for (auto* all : {&a, &b, &c, &v})
    {
        for (float& x : *all)
        {
            x = random();
        }
    }

    Address da = upload(a, size), db = upload(b, size), dc = upload(c, 4), dv = upload(v, 4);
    void *handle, *description, *la, *lb, *lc;
    EQUAL(cublasLtCreate(&handle), 0);
    EQUAL(cublasLtMatmulDescCreate(&description, compute, 0), 0);
    int t[2] = {ta, tb};
    EQUAL(cublasLtMatmulDescSetAttribute(description, 3, &t[0], 4), 0);
    EQUAL(cublasLtMatmulDescSetAttribute(description, 4, &t[1], 4), 0);
    if (bias)
    {
        uint32_t epilogue = 4;
        int f32 = 0;
        EQUAL(cublasLtMatmulDescSetAttribute(description, 7, &epilogue, 4), 0);
        EQUAL(cublasLtMatmulDescSetAttribute(description, 8, &dv, 8), 0);
        EQUAL(cublasLtMatmulDescSetAttribute(description, 26, &f32, 4), 0);
    }

    EQUAL(cublasLtMatrixLayoutCreate(&la, type, (uint64_t)(ta ? k : m), (uint64_t)(ta ? m : k), ta ? k : m), 0);
    EQUAL(cublasLtMatrixLayoutCreate(&lb, type, (uint64_t)(tb ? n : k), (uint64_t)(tb ? k : n), tb ? n : k), 0);
    EQUAL(cublasLtMatrixLayoutCreate(&lc, 0, (uint64_t)m, (uint64_t)n, m), 0);
    int64_t strides[] = {m * k, k * n, m * n};
    void* layouts[] = {la, lb, lc};
    for (int i = 0; i < 3; i++)
    {
        EQUAL(cublasLtMatrixLayoutSetAttribute(layouts[i], 5, &batch, 4), 0);
        EQUAL(cublasLtMatrixLayoutSetAttribute(layouts[i], 6, &strides[i], 8), 0);
    }

    float alpha = 2, beta = 0.5f;
    EQUAL(cublasLtMatmul(handle, description, &alpha, (void*)da, la, (void*)db, lb, &beta, (void*)dc, lc, (void*)dc, lc, nullptr, nullptr, 0, nullptr), 0);
    std::vector<float> d(c.size());
    EQUAL(cuMemcpyDtoH_v2(d.data(), dc, d.size() * 4), 0);
    double worst = 0;
    for (int s = 0; s < batch; s++)
    {
        for (int j = 0; j < n; j++)
        {
            for (int i = 0; i < m; i++)
            {
                double sum = 0;
                for (int p = 0; p < k; p++)
                {
                    sum += (double)a[(size_t)(s * m * k + (ta ? i * k + p : p * m + i))] * b[(size_t)(s * k * n + (tb ? p * n + j : j * k + p))];
                }

                size_t at = (size_t)(s * m * n + j * m + i);
                worst = std::max(worst, std::fabs(2 * sum + 0.5 * c[at] + (bias ? v[(size_t)i] : 0) - d[at]));
            }
        }
    }

    HOLDS(worst < 1e-5 * k);

    // One element more than there is.
    EQUAL(cublasLtMatmul(handle, description, &alpha, (void*)(da + size), la, (void*)db, lb, &beta, (void*)dc, lc, (void*)dc, lc, nullptr, nullptr, 0, nullptr), 7);
    for (void* l : layouts)
    {
        EQUAL(cublasLtMatrixLayoutDestroy(l), 0);
    }

    EQUAL(cublasLtMatmulDescDestroy(description), 0);
    EQUAL(cublasLtDestroy(handle), 0);
    for (Address x : {da, db, dc, dv})
    {
        EQUAL(cuMemFree_v2(x), 0);
    }
}

static void products()
{
    start();
    for (int transposed = 0; transposed < 4; transposed++)
    {
        product(0, 68, transposed & 1, transposed & 2, 33, 17, 65, 1, false);
        product(14, 68, transposed & 1, transposed & 2, 16, 5, 31, 3, true);
        product(0, 77, transposed & 1, transposed & 2, 1, 130, 7, 2, true);
    }

    EQUAL(emuLiveBytes(), 0);
}

static void names()
{
    EQUAL(cuInit(0), 0);
    char name[64];
    EQUAL(cuDeviceGetName(name, 64, 0), 0);
    HOLDS(strcmp(name, "Graft CUDA emulator (no GPU)") == 0);
    EQUAL(cuDeviceGetName(name, 6, 0), 0);
    HOLDS(strcmp(name, "Graft") == 0);
    int version, major, minor;
    EQUAL(cuDriverGetVersion(&version), 0);
    EQUAL(version, 12040);
    emuSetMode("GRAFT_EMU_DRIVER_VERSION", "11080");
    EQUAL(cuDriverGetVersion(&version), 0);
    EQUAL(version, 11080);
    emuSetMode("GRAFT_EMU_CC", "80");
    EQUAL(cuDeviceGetAttribute(&major, 75, 0), 0);
    EQUAL(cuDeviceGetAttribute(&minor, 76, 0), 0);
    EQUAL(major * 10 + minor, 80);
    emuSetMode("GRAFT_EMU_NO_DEVICE", "1");
    EQUAL(cuInit(0), 100);
    EQUAL(emuSetMode("schedule", "sideways"), 1);
    EQUAL(emuSetMode("mood", "1"), 1);
}

int main(int count, char** arguments)
{
    std::map<std::string, std::function<void()>> sections = {{"memory", memory},           {"faults", faults},     {"limits", limits}, {"compiler", compiler}, {"graphs", graphs}, {"lazy", lazy},
                                                             {"two_devices", two_devices}, {"products", products}, {"names", names}};
    auto section = count == 2 ? sections.find(arguments[1]) : sections.end();
    if (section == sections.end())
    {
        for (auto& s : sections)
        {
            printf("%s\n", s.first.c_str());
        }

        return 2;
    }

    if (section->first == "memory")
    {
        emuSetMode("GRAFT_EMU_MEMORY", "1048576");
    }

    if (section->first == "two_devices")
    {
        emuSetMode("GRAFT_EMU_DEVICES", "2");
    }

    section->second();
    printf("%s: %s\n", arguments[1], failures == 0 ? "all holds" : "NOT all holds");
    return failures == 0 ? 0 : 1;
}
