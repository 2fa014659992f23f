// copies.cpp: asynchronous copies to shared memory happen as late as the program allows, when the thread waits for their group; until then the target is NaN.
#include "copies.h"
#include <cstring>
#include "checked.h"
#include "engine.h"

namespace emu
{
void copy_async(void* to, const void* from, int valid, int line)
{
    shadow_thread_event();
    if ((((size_t)to | (valid ? (size_t)from : 0)) & 15) != 0)
    {
        fail(CUDA_ERROR_MISALIGNED_ADDRESS, format("cp.async at line %d: %p or %p is no multiple of 16", line, to, from));
    }

    if (!in_shared(to, 16))
    {
        fail(CUDA_ERROR_ILLEGAL_ADDRESS, format("cp.async at line %d: target %p is not in the block's shared memory", line, to));
    }

    Fiber* me = engine.current;
    if (modes.checked)
    {
        shadow_copy_begins(to, from, valid);
    }

    memset(to, 0xFF, 16);
    me->copies.push_back({(char*)to, (const char*)from, valid != 0, line, me->open_group});
}

void copy_commit()
{
    engine.current->open_group++;
}

void copy_wait(int groups, int)
{
    shadow_thread_event();
    // Groups are numbered from 0; the open one is not committed and not waited for.
    Fiber* me = engine.current;
    long last = me->open_group - groups;
    size_t kept = 0;
    for (size_t i = 0; i < me->copies.size(); i++)
    {
        AsyncCopy c = me->copies[i];
        if (c.group >= last)
        {
            me->copies[kept++] = c;
            continue;
        }

        if (modes.checked)
        {
            shadow_copy_ends(c.to);
        }

        if (c.valid)
        {
            memcpy(c.to, c.from, 16);
        }
        else
        {
            memset(c.to, 0, 16);
        }
    }

    me->copies.resize(kept);
}

void copies_at_exit()
{
    fail(CUDA_ERROR_LAUNCH_FAILED, format("the thread ends with %zu asynchronous copies under way, the first from line %d", engine.current->copies.size(), engine.current->copies[0].line));
}
} // namespace emu
