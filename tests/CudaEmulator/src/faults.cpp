// faults.cpp: a memory fault, a misaligned access or a trap of a fiber ends its launch with an error. All other faults go to who handled them before.
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <cstdlib>
#include <cstring>
#include "engine.h"
#include "memory.h"

namespace emu
{
std::string describe_address(const void* address);

static struct sigaction previous[NSIG];
static volatile bool scope_open;
static pthread_t scope_thread;

// Set by the handler, read on the host's stack: nothing is allocated in a handler.
static volatile int fault_signal;
static void* volatile fault_address;
static volatile bool fault_general; // a general protection fault: no address, so a misaligned vector access or a wild pointer
static char landing[64 << 10] __attribute__((aligned(64)));

static void pass_on(int signal, siginfo_t* info, void* context)
{
    struct sigaction& old = previous[signal];
    if (old.sa_flags & SA_SIGINFO)
    {
        old.sa_sigaction(signal, info, context);
    }
    else if (old.sa_handler == SIG_DFL)
    {
        // The instruction faults again and the default action follows.
        sigaction(signal, &old, nullptr);
    }
    else if (old.sa_handler != SIG_IGN)
    {
        old.sa_handler(signal);
    }
}

static void on_fault(int signal, siginfo_t* info, void* context)
{
    if (!scope_open || engine.current == nullptr || !pthread_equal(scope_thread, pthread_self()))
    {
        pass_on(signal, info, context);
        return;
    }

    fault_signal = signal;
    fault_address = info->si_addr;
    fault_general = signal == SIGSEGV && info->si_code == SI_KERNEL;
    greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
    registers[REG_RIP] = (greg_t)&emu_land;
    registers[REG_RSP] = (greg_t)(landing + sizeof(landing) - 64 - 8);
    registers[REG_EFL] &= ~0x400; // direction flag
}

void install_fault_handlers()
{
    static bool installed;
    if (installed)
    {
        return;
    }

    installed = true;
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE})
    {
        sigaction(signal, &action, &previous[signal]);
    }
}

// A fiber that overflowed its stack cannot run a handler on it: a thread without an alternative stack gets one for the launch.
static thread_local char* own_stack;

FaultScope::FaultScope()
{
    install_fault_handlers();
    stack_t now;
    sigaltstack(nullptr, &now);
    if (now.ss_flags & SS_DISABLE)
    {
        if (own_stack == nullptr)
        {
            own_stack = (char*)malloc(64 << 10);
        }

        stack_t mine = {};
        mine.ss_sp = own_stack;
        mine.ss_size = 64 << 10;
        sigaltstack(&mine, nullptr);
    }

    fault_signal = 0;
    scope_thread = pthread_self();
    scope_open = true;
}

FaultScope::~FaultScope()
{
    scope_open = false;
    engine.current = nullptr;
}

static const Fiber* stack_owner(const void* address)
{
    for (unsigned i = 0; i < engine.threads; i++)
    {
        const Fiber& f = engine.fibers[i];
        char* low = f.state == FiberState::Unstarted ? nullptr : fiber_stack_low(f.stack);
        if (low != nullptr && address < low && address >= low - 4096)
        {
            return &f;
        }
    }

    return nullptr;
}

CUresult pending_fault(std::string& text)
{
    int signal = fault_signal;
    if (signal == 0)
    {
        return CUDA_SUCCESS;
    }

    fault_signal = 0;
    const Fiber* thread = nullptr; // the one that ran: the only one in that state
    for (unsigned i = 0; i < engine.threads; i++)
    {
        if (engine.fibers[i].state == FiberState::Running)
        {
            thread = &engine.fibers[i];
        }
    }

    CUresult error = CUDA_ERROR_ILLEGAL_ADDRESS;
    void* address = fault_address;
    if (signal == SIGILL)
    {
        error = CUDA_ERROR_MISALIGNED_ADDRESS;
        text = "misaligned access, or an index outside of an array";
    }
    else if (signal == SIGFPE)
    {
        error = CUDA_ERROR_LAUNCH_FAILED;
        text = "integer division by zero";
    }
    else if (fault_general)
    {
        text = "misaligned vector access or wild address";
    }
    else if (stack_owner(address) != nullptr)
    {
        error = CUDA_ERROR_LAUNCH_FAILED;
        text = "stack overflow: local arrays are too large";
    }
    else if (address >= engine.dynamic_end && (char*)address < engine.dynamic_end + 8192)
    {
        text = format("out-of-bounds access: %ld bytes past the end of %u bytes of dynamic shared memory", (long)((char*)address - engine.dynamic_end), engine.launch->dynamic_bytes);
    }
    else
    {
        text = format("illegal address %p, %s", address, describe_address(address).c_str());
    }

    text += ": " + (thread == nullptr ? std::string(engine.launch->kernel) : where(thread));
    return error;
}
} // namespace emu
