// hardware.h: the bodies for the emulator of every function of src/Kernels/cu/hardware.cuh, and the thunks that unpack a launch's parameters.
#pragma once

EMU_BODY unsigned short f32_to_bf16_bits(float x)
{
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
    {
        return 0x7fff; // cvt.rn.bf16 gives the canonical NaN
    }

    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

EMU_BODY unsigned short f32_to_f16_bits(float x)
{
    unsigned bits = __float_as_uint(x);
    unsigned sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u)
    {
        return 0x7fff;
    }

    if (bits >= 0x477ff000u) // 65520: rounds to infinity
    {
        return (unsigned short)(sign | 0x7c00u);
    }

    if (bits < 0x38800000u) // below 2^-14 the spacing is 2^-24: adding 0.5 puts the rounded integer in the low bits
    {
        return (unsigned short)(sign | (__float_as_uint(__uint_as_float(bits) + 0.5f) - 0x3f000000u));
    }

    return (unsigned short)(sign | ((bits - 0x38000000u + 0xfffu + (bits >> 13 & 1)) >> 13));
}

EMU_BODY float f16_bits_to_f32(unsigned short x)
{
    unsigned sign = (unsigned)(x & 0x8000u) << 16, rest = x & 0x7fffu;
    if (rest >= 0x7c00u)
    {
        return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    }

    if (rest < 0x400u)
    {
        return __uint_as_float(sign | __float_as_uint((float)rest * 5.9604644775390625e-8f)); // 2^-24
    }

    return __uint_as_float(sign | ((rest << 13) + 0x38000000u));
}

EMU_BODY unsigned pack_bf16(float low, float high)
{
    return (unsigned)f32_to_bf16_bits(high) << 16 | f32_to_bf16_bits(low);
}

EMU_BODY float exp2_approx(float x)
{
    float y = exp2f(x);
    return fabsf(y) < 1.17549435e-38f ? 0.0f : y; // .ftz
}

// The whole butterfly as one operation of the warp: the additions and their order are those of the shuffles.
EMU_BODY float warp_sum(float x, EMU_LINE)
{
    return __uint_as_float((unsigned)emu_warp(EMU_WARP_SUM, 0xffffffffu, line, __float_as_uint(x)));
}

EMU_BODY float warp_max(float x, EMU_LINE)
{
    return __uint_as_float((unsigned)emu_warp(EMU_WARP_MAX, 0xffffffffu, line, __float_as_uint(x)));
}

EMU_BODY void mma_bf16_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], EMU_LINE)
{
    EmuWarpCall call = {EMU_MMA_BF16_16816, 0xffffffffu, line, 0, 32, 0, d, a, b};
    emu_table->warp(&call);
}

EMU_BODY void ldmatrix_x4(unsigned (&r)[4], const void* row, EMU_LINE)
{
    EmuWarpCall call = {EMU_LDMATRIX_X4, 0xffffffffu, line, 0, 32, 0, r, row, nullptr};
    emu_table->warp(&call);
}

EMU_BODY void ldmatrix_x4_trans(unsigned (&r)[4], const void* row, EMU_LINE)
{
    EmuWarpCall call = {EMU_LDMATRIX_X4_TRANS, 0xffffffffu, line, 0, 32, 0, r, row, nullptr};
    emu_table->warp(&call);
}

EMU_BODY void cp_async16(void* to, const void* from, bool valid = true, EMU_LINE)
{
    emu_table->copy_async(to, from, valid, line);
}

EMU_BODY void cp_async_commit()
{
    emu_table->copy_commit();
}

template <int N>
EMU_BODY void cp_async_wait(EMU_LINE)
{
    emu_table->copy_wait(N, line);
}

EMU_BODY void named_sync(int id, int threads, EMU_LINE)
{
    emu_table->named_barrier(id, threads, line);
}

// ---- thunks -------------------------------------------------------------------------------------------------------------------------------------------
#define EMU_THUNK __attribute__((visibility("default"), no_sanitize("thread", "undefined")))

template <int... I>
struct EmuList
{
};

template <int N, int... I>
struct EmuCount : EmuCount<N - 1, N - 1, I...>
{
};

template <int... I>
struct EmuCount<0, I...>
{
    typedef EmuList<I...> List;
};

template <typename... A, int... I>
static inline __attribute__((always_inline, no_sanitize("thread", "undefined"))) void emu_call(void (*kernel)(A...), void** parameters, EmuList<I...>)
{
    kernel(*(A*)parameters[I]...);
}

template <typename... A>
static inline __attribute__((always_inline, no_sanitize("thread", "undefined"))) void emu_call(void (*kernel)(A...), void** parameters)
{
    emu_call(kernel, parameters, typename EmuCount<sizeof...(A)>::List());
}

// Writes the sizes of the parameters and returns their number.
template <typename... A>
static inline __attribute__((no_sanitize("thread", "undefined"))) int emu_sizes(void (*)(A...), int* sizes)
{
    int all[] = {(int)sizeof(A)..., 0};
    for (int i = 0; i < (int)sizeof...(A); i++)
    {
        sizes[i] = all[i];
    }

    return (int)sizeof...(A);
}

// ---- checked mode: -fsanitize=thread announces every access to memory that other threads could reach --------------------------------------------------------
#ifdef EMU_CHECKED
#define EMU_HOOK(name, bytes, kind)                                                                              \
    extern "C" __attribute__((visibility("hidden"), no_sanitize("thread"))) void __tsan_##name(void* address) \
    {                                                                                                         \
        emu_table->access(address, bytes, kind);                                                              \
    }
#define EMU_HOOKS(bytes)                                  \
    EMU_HOOK(read##bytes, bytes, EMU_READ)                \
    EMU_HOOK(write##bytes, bytes, EMU_WRITE)              \
    EMU_HOOK(unaligned_read##bytes, bytes, EMU_READ)      \
    EMU_HOOK(unaligned_write##bytes, bytes, EMU_WRITE)    \
    EMU_HOOK(volatile_read##bytes, bytes, EMU_READ)       \
    EMU_HOOK(volatile_write##bytes, bytes, EMU_WRITE)
EMU_HOOKS(1)
EMU_HOOKS(2)
EMU_HOOKS(4)
EMU_HOOKS(8)
EMU_HOOKS(16)

extern "C" __attribute__((visibility("hidden"), no_sanitize("thread"))) void __tsan_read_range(void* address, unsigned long bytes)
{
    emu_table->access(address, bytes, EMU_READ);
}

extern "C" __attribute__((visibility("hidden"), no_sanitize("thread"))) void __tsan_write_range(void* address, unsigned long bytes)
{
    emu_table->access(address, bytes, EMU_WRITE);
}

// Copies that the compiler leaves to the library have no hooks of their own.
extern "C" __attribute__((visibility("hidden"), no_sanitize("thread", "undefined"))) void* memcpy(void* to, const void* from, size_t bytes)
{
    void* result = to;
    emu_table->access(from, bytes, EMU_READ);
    emu_table->access(to, bytes, EMU_WRITE);
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    return result;
}

extern "C" __attribute__((visibility("hidden"), no_sanitize("thread", "undefined"))) void* memmove(void* to, const void* from, size_t bytes)
{
    emu_table->access(from, bytes, EMU_READ);
    emu_table->access(to, bytes, EMU_WRITE);
    bool behind = (char*)to > (const char*)from && (char*)to < (const char*)from + bytes;
    for (size_t i = 0; i < bytes; i++)
    {
        size_t at = behind ? bytes - 1 - i : i;
        *((volatile char*)to + at) = *((const volatile char*)from + at);
    }

    return to;
}

extern "C" __attribute__((visibility("hidden"), no_sanitize("thread", "undefined"))) void* memset(void* to, int value, size_t bytes)
{
    void* result = to;
    emu_table->access(to, bytes, EMU_WRITE);
    asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
    return result;
}

extern "C" __attribute__((visibility("hidden"))) void __tsan_init() {}
extern "C" __attribute__((visibility("hidden"))) void __tsan_func_entry(void*) {}
extern "C" __attribute__((visibility("hidden"))) void __tsan_func_exit(void*) {}
#endif

// ---- static shared memory of the whole file, one range ----------------------------------------------------------------------------------------------------
extern "C"
{
    extern char __bss_start[] __attribute__((visibility("hidden")));
    extern char _end[] __attribute__((visibility("hidden")));

    __attribute__((visibility("default"))) void emu_shared_range(char** first, char** end)
    {
        *first = __bss_start;
        *end = _end;
    }
}
