// builtins.h: the CUDA language for g++: qualifiers, indices, vector types, barriers, warp operations, atomics, bit functions.
#pragma once
#define GRAFT_EMULATOR 1
#define __device__
#define __host__
#define __global__
#define __constant__
#define __managed__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __maxnreg__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

// Static shared memory is the module's .bss, and nothing else is there: g++ puts a static array of a template into no other section, whatever it is told.
#define __shared__ static
#define EMU_STATE __attribute__((visibility("default"), section("emu_state")))

typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef __INT8_TYPE__ int8_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __INT16_TYPE__ int16_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __INT32_TYPE__ int32_t;
typedef __UINT32_TYPE__ uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
typedef unsigned long uintptr_t;

// ---- what the loader fills in -------------------------------------------------------------------------------------------------------------------
extern "C"
{
    EMU_STATE EmuThread* emu_thread;
    EMU_STATE EmuBlock emu_block;
    EMU_STATE char* emu_dynamic_shared;
    EMU_STATE const EmuTable* emu_table;
}

typedef EmuIndex uint3;
#define warpSize 32

// The body of an intrinsic belongs to the emulator: in checked mode its own memory accesses are announced by hand.
#define EMU_BODY static inline __attribute__((unused, no_sanitize("thread", "undefined")))
#define EMU_LINE int line = __builtin_LINE()

#ifdef EMU_CHECKED
// By value, from a function that is not instrumented: reading an index is no access of the kernel.
#define EMU_INDEX(name, expression) \
    EMU_BODY EmuIndex name()        \
    {                               \
        return expression;          \
    }
EMU_INDEX(emu_thread_index, emu_thread->index)
EMU_INDEX(emu_block_index, emu_block.index)
EMU_INDEX(emu_block_size, emu_block.size)
EMU_INDEX(emu_grid_size, emu_block.grid)
#define threadIdx emu_thread_index()
#define blockIdx emu_block_index()
#define blockDim emu_block_size()
#define gridDim emu_grid_size()
#else
#define threadIdx (emu_thread->index)
#define blockIdx (emu_block.index)
#define blockDim (emu_block.size)
#define gridDim (emu_block.grid)
#endif

// ---- vector types ---------------------------------------------------------------------------------------------------------------------------------
#define EMU_VECTOR1(type, name)                    \
    struct name##1                                 \
    {                                              \
        type x;                                    \
    };                                             \
    EMU_BODY name##1 make_##name##1(type x)        \
    {                                              \
        return name##1{x};                         \
    }
#define EMU_VECTOR2(type, name, align)             \
    struct alignas(align) name##2                  \
    {                                              \
        type x, y;                                 \
    };                                             \
    EMU_BODY name##2 make_##name##2(type x, type y) \
    {                                              \
        return name##2{x, y};                      \
    }
#define EMU_VECTOR3(type, name)                    \
    struct name##3                                 \
    {                                              \
        type x, y, z;                              \
    };                                             \
    EMU_BODY name##3 make_##name##3(type x, type y, type z) \
    {                                              \
        return name##3{x, y, z};                   \
    }
#define EMU_VECTOR4(type, name, align)             \
    struct alignas(align) name##4                  \
    {                                              \
        type x, y, z, w;                           \
    };                                             \
    EMU_BODY name##4 make_##name##4(type x, type y, type z, type w) \
    {                                              \
        return name##4{x, y, z, w};                \
    }
#define EMU_VECTORS(type, name, align2, align4) EMU_VECTOR1(type, name) EMU_VECTOR2(type, name, align2) EMU_VECTOR4(type, name, align4)
EMU_VECTORS(signed char, char, 2, 4)
EMU_VECTORS(unsigned char, uchar, 2, 4)
EMU_VECTORS(short, short, 4, 8)
EMU_VECTORS(unsigned short, ushort, 4, 8)
EMU_VECTORS(int, int, 8, 16)
EMU_VECTORS(unsigned, uint, 8, 16)
EMU_VECTORS(float, float, 8, 16)
EMU_VECTORS(double, double, 16, 16)
EMU_VECTORS(long long, longlong, 16, 16)
EMU_VECTORS(unsigned long long, ulonglong, 16, 16)
EMU_VECTOR3(int, int)
EMU_VECTOR3(float, float)
EMU_VECTOR3(double, double)
EMU_BODY uint3 make_uint3(unsigned x, unsigned y, unsigned z)
{
    return uint3{x, y, z};
}

struct dim3
{
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// ---- barriers, fences ---------------------------------------------------------------------------------------------------------------------------
EMU_BODY void __syncthreads(EMU_LINE)
{
    emu_table->barrier(EMU_BARRIER, 0, line);
}

EMU_BODY int __syncthreads_count(int predicate, EMU_LINE)
{
    return emu_table->barrier(EMU_BARRIER_COUNT, predicate, line);
}

EMU_BODY int __syncthreads_and(int predicate, EMU_LINE)
{
    return emu_table->barrier(EMU_BARRIER_AND, predicate, line);
}

EMU_BODY int __syncthreads_or(int predicate, EMU_LINE)
{
    return emu_table->barrier(EMU_BARRIER_OR, predicate, line);
}

EMU_BODY void __threadfence() {}
EMU_BODY void __threadfence_block() {}
EMU_BODY void __threadfence_system() {}
EMU_BODY void __nanosleep(unsigned) {}

EMU_BODY void __trap(EMU_LINE)
{
    emu_table->trap("__trap", line);
    __builtin_unreachable();
}

EMU_BODY long long clock64()
{
    return (long long)__builtin_ia32_rdtsc();
}

EMU_BODY int clock()
{
    return (int)__builtin_ia32_rdtsc();
}

__attribute__((unused, format(printf, 1, 2))) static int printf(const char* format, ...)
{
    __builtin_va_list arguments;
    __builtin_va_start(arguments, format);
    int count = emu_table->print(format, arguments);
    __builtin_va_end(arguments);
    return count;
}

#define assert(condition) ((condition) ? (void)0 : emu_table->trap("assertion failed: " #condition, __LINE__))

// ---- warp operations ------------------------------------------------------------------------------------------------------------------------------
EMU_BODY unsigned long long emu_warp(int op, unsigned mask, int line, unsigned long long value, int operand = 0, int width = 32)
{
    EmuWarpCall call = {op, mask, line, operand, width, value, nullptr, nullptr, nullptr};
    emu_table->warp(&call);
    return call.value;
}

template <typename T>
EMU_BODY T emu_shuffle(int op, unsigned mask, int line, T value, int operand, int width)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    bits = emu_warp(op, mask, line, bits, operand, width);
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}

EMU_BODY void __syncwarp(unsigned mask = 0xffffffffu, EMU_LINE)
{
    emu_warp(EMU_SYNCWARP, mask, line, 0);
}

template <typename T>
EMU_BODY T __shfl_sync(unsigned mask, T value, int lane, int width = 32, EMU_LINE)
{
    return emu_shuffle(EMU_SHUFFLE, mask, line, value, lane, width);
}

template <typename T>
EMU_BODY T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32, EMU_LINE)
{
    return emu_shuffle(EMU_SHUFFLE_UP, mask, line, value, (int)distance, width);
}

template <typename T>
EMU_BODY T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32, EMU_LINE)
{
    return emu_shuffle(EMU_SHUFFLE_DOWN, mask, line, value, (int)distance, width);
}

template <typename T>
EMU_BODY T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, EMU_LINE)
{
    return emu_shuffle(EMU_SHUFFLE_XOR, mask, line, value, lanes, width);
}

EMU_BODY unsigned __ballot_sync(unsigned mask, int predicate, EMU_LINE)
{
    return (unsigned)emu_warp(EMU_BALLOT, mask, line, predicate != 0);
}

EMU_BODY int __any_sync(unsigned mask, int predicate, EMU_LINE)
{
    return (int)emu_warp(EMU_ANY, mask, line, predicate != 0);
}

EMU_BODY int __all_sync(unsigned mask, int predicate, EMU_LINE)
{
    return (int)emu_warp(EMU_ALL, mask, line, predicate != 0);
}

EMU_BODY unsigned __activemask()
{
    return emu_table->active();
}

template <typename T>
EMU_BODY unsigned __match_any_sync(unsigned mask, T value, EMU_LINE)
{
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    return (unsigned)emu_warp(EMU_MATCH_ANY, mask, line, bits);
}

template <typename T>
EMU_BODY unsigned __match_all_sync(unsigned mask, T value, int* predicate, EMU_LINE)
{
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    unsigned found = (unsigned)emu_warp(EMU_MATCH_ALL, mask, line, bits);
    *predicate = found != 0;
    return found;
}

EMU_BODY unsigned __reduce_add_sync(unsigned mask, unsigned value, EMU_LINE)
{
    return (unsigned)emu_warp(EMU_REDUCE_ADD, mask, line, value);
}

EMU_BODY int __reduce_add_sync(unsigned mask, int value, EMU_LINE)
{
    return (int)emu_warp(EMU_REDUCE_ADD, mask, line, (unsigned)value);
}

EMU_BODY unsigned __reduce_min_sync(unsigned mask, unsigned value, EMU_LINE)
{
    return (unsigned)emu_warp(EMU_REDUCE_MIN_UNSIGNED, mask, line, value);
}

EMU_BODY int __reduce_min_sync(unsigned mask, int value, EMU_LINE)
{
    return (int)emu_warp(EMU_REDUCE_MIN_INT, mask, line, (unsigned)value);
}

EMU_BODY unsigned __reduce_max_sync(unsigned mask, unsigned value, EMU_LINE)
{
    return (unsigned)emu_warp(EMU_REDUCE_MAX_UNSIGNED, mask, line, value);
}

EMU_BODY int __reduce_max_sync(unsigned mask, int value, EMU_LINE)
{
    return (int)emu_warp(EMU_REDUCE_MAX_INT, mask, line, (unsigned)value);
}

EMU_BODY unsigned __reduce_and_sync(unsigned mask, unsigned value, EMU_LINE)
{
    return (unsigned)emu_warp(EMU_REDUCE_AND, mask, line, value);
}

EMU_BODY unsigned __reduce_or_sync(unsigned mask, unsigned value, EMU_LINE)
{
    return (unsigned)emu_warp(EMU_REDUCE_OR, mask, line, value);
}

EMU_BODY unsigned __reduce_xor_sync(unsigned mask, unsigned value, EMU_LINE)
{
    return (unsigned)emu_warp(EMU_REDUCE_XOR, mask, line, value);
}

// ---- atomics: one thread runs at a time and leaves the processor only in a barrier or warp operation -----------------------------------------------
#define EMU_ATOMIC_OP(name, type, expression) EMU_ATOMIC_KIND(name, type, expression, EMU_ATOMIC)
#define EMU_ATOMIC_KIND(name, type, expression, kind)                                      \
    __attribute__((unused, no_sanitize("thread"))) static inline type name(type* p, type x) \
    {                                                                                       \
        emu_table->access(p, sizeof(type), kind);                                           \
        type old = *p;                                                                      \
        *p = (expression);                                                                  \
        return old;                                                                         \
    }                                                                                       \
    EMU_BODY type name##_block(type* p, type x)                                             \
    {                                                                                       \
        return name(p, x);                                                                  \
    }
#define EMU_ATOMICS(type)                            \
    EMU_ATOMIC_OP(atomicAdd, type, (type)(old + x))  \
    EMU_ATOMIC_KIND(atomicExch, type, x, EMU_EXCHANGE) \
    EMU_ATOMIC_OP(atomicMax, type, old > x ? old : x) \
    EMU_ATOMIC_OP(atomicMin, type, old < x ? old : x) \
    EMU_ATOMIC_OP(atomicAnd, type, old & x)          \
    EMU_ATOMIC_OP(atomicOr, type, old | x)           \
    EMU_ATOMIC_OP(atomicXor, type, old ^ x)
EMU_ATOMICS(int)
EMU_ATOMICS(unsigned)
EMU_ATOMICS(unsigned long long)
EMU_ATOMIC_OP(atomicMax, long long, old > x ? old : x)
EMU_ATOMIC_OP(atomicMin, long long, old < x ? old : x)
EMU_ATOMIC_OP(atomicSub, int, old - x)
EMU_ATOMIC_OP(atomicSub, unsigned, old - x)
EMU_ATOMIC_OP(atomicInc, unsigned, old >= x ? 0u : old + 1)
EMU_ATOMIC_OP(atomicDec, unsigned, old == 0 || old > x ? x : old - 1)
EMU_ATOMIC_OP(atomicAdd, float, old + x)
EMU_ATOMIC_OP(atomicAdd, double, old + x)
EMU_ATOMIC_KIND(atomicExch, float, x, EMU_EXCHANGE)

#define EMU_ATOMIC_CAS(type)                                                                                          \
    __attribute__((unused, no_sanitize("thread"))) static inline type atomicCAS(type* p, type compare, type value) \
    {                                                                                                               \
        emu_table->access(p, sizeof(type), EMU_ATOMIC);                                                             \
        type old = *p;                                                                                              \
        *p = old == compare ? value : old;                                                                          \
        return old;                                                                                                 \
    }
EMU_ATOMIC_CAS(int)
EMU_ATOMIC_CAS(unsigned)
EMU_ATOMIC_CAS(unsigned short)
EMU_ATOMIC_CAS(unsigned long long)

// ---- loads and stores with a cache hint: not EMU_BODY, so that checked mode sees them as the kernel's own ---------------------------------------------
#define EMU_LOAD(name)                                                  \
    template <typename T>                                               \
    __attribute__((always_inline, unused)) static inline T name(const T* p) \
    {                                                                   \
        return *p;                                                      \
    }
EMU_LOAD(__ldg)
EMU_LOAD(__ldcg)
EMU_LOAD(__ldca)
EMU_LOAD(__ldcs)
EMU_LOAD(__ldcv)
EMU_LOAD(__ldlu)
#define EMU_STORE(name)                                                          \
    template <typename T>                                                        \
    __attribute__((always_inline, unused)) static inline void name(T* p, T value) \
    {                                                                            \
        *p = value;                                                              \
    }
EMU_STORE(__stcg)
EMU_STORE(__stcs)
EMU_STORE(__stwb)
EMU_STORE(__stwt)

// ---- integers and bits ------------------------------------------------------------------------------------------------------------------------------
EMU_BODY unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((unsigned long long)a * b >> 32);
}

EMU_BODY int __mulhi(int a, int b)
{
    return (int)((long long)a * b >> 32);
}

EMU_BODY unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

EMU_BODY long long __mul64hi(long long a, long long b)
{
    return (long long)((__int128)a * b >> 64);
}

EMU_BODY unsigned __brev(unsigned x)
{
    x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
    x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
    return __builtin_bswap32(x);
}

EMU_BODY unsigned long long __brevll(unsigned long long x)
{
    return (unsigned long long)__brev((unsigned)x) << 32 | __brev((unsigned)(x >> 32));
}

EMU_BODY int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

EMU_BODY int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}

EMU_BODY int __clz(int x)
{
    return x == 0 ? 32 : __builtin_clz((unsigned)x);
}

EMU_BODY int __clzll(long long x)
{
    return x == 0 ? 64 : __builtin_clzll((unsigned long long)x);
}

EMU_BODY int __ffs(int x)
{
    return __builtin_ffs(x);
}

EMU_BODY int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}

EMU_BODY unsigned __byte_perm(unsigned a, unsigned b, unsigned selector)
{
    unsigned long long both = (unsigned long long)b << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; i++)
    {
        unsigned byte = (unsigned)(both >> (selector >> 4 * i & 7) * 8) & 0xff;
        if (selector >> 4 * i & 8)
        {
            byte = byte & 0x80 ? 0xff : 0;
        }

        result |= byte << 8 * i;
    }

    return result;
}

EMU_BODY unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((unsigned long long)high << 32 | low) << (shift & 31) >> 32);
}

EMU_BODY unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((unsigned long long)high << 32 | low) >> (shift & 31));
}

template <typename To, typename From>
EMU_BODY To emu_bits(From x)
{
    To y;
    __builtin_memcpy(&y, &x, sizeof(y));
    return y;
}

EMU_BODY float __int_as_float(int x)
{
    return emu_bits<float>(x);
}

EMU_BODY float __uint_as_float(unsigned x)
{
    return emu_bits<float>(x);
}

EMU_BODY int __float_as_int(float x)
{
    return emu_bits<int>(x);
}

EMU_BODY unsigned __float_as_uint(float x)
{
    return emu_bits<unsigned>(x);
}

EMU_BODY double __longlong_as_double(long long x)
{
    return emu_bits<double>(x);
}

EMU_BODY long long __double_as_longlong(double x)
{
    return emu_bits<long long>(x);
}

EMU_BODY size_t __cvta_generic_to_shared(const void* p)
{
    return (size_t)p;
}
