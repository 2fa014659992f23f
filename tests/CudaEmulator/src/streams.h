// streams.h: contexts, streams, events and graphs as the driver's entry points see them.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <vector>
#include "state.h"

namespace emu
{
struct Stream;
struct Graph;

struct Context
{
    int device = 0;
    int references = 0;
    CUresult sticky = CUDA_SUCCESS;
    std::shared_ptr<Stream> null_stream;
    std::set<Context*> peers;
};

struct Operation
{
    const char* name;
    std::function<CUresult()> run;
};

struct Stream
{
    Context* context = nullptr;
    bool blocking = true; // ordered with the null stream
    std::deque<Operation> queue;
    uint64_t submitted = 0, done = 0;
    std::shared_ptr<Graph> capture;
    bool unjoined = false; // captured work that the stream the capture began on does not wait for yet
};

struct Event
{
    Context* context = nullptr;
    bool timing = true;
    std::shared_ptr<Stream> stream; // null before the first record
    uint64_t number = 0;
    double seconds = 0;
    std::weak_ptr<Graph> captured;
    bool in_capture = false;
};

struct Graph
{
    std::vector<Operation> nodes;
    Stream* origin = nullptr;
    std::vector<std::shared_ptr<Stream>> streams;
    int mode = 0;
    bool invalid = false;
};

// The context of the calling thread; null where none is current.
Context* current_context();
Context* primary_context(int device);
int current_device(); // of the operation that runs
bool peer_enabled(int device);
void clear_sticky();
void lose_devices();

// Null for a handle that is not a live stream; 0, 1 and 2 are the null stream.
std::shared_ptr<Stream> find_stream(Context* context, void* handle);

// Runs now, queues (lazy mode) or records (capture). An error while running is sticky.
CUresult submit(const std::shared_ptr<Stream>& stream, const char* name, std::function<CUresult()> run);
CUresult drain(Stream& stream, uint64_t number);
CUresult drain_device(Context* context);
bool capturing_globally();

// What every entry point that needs a context begins with.
#define EMU_CONTEXT(context)                    \
    Guard guard(lock);                          \
    Context* context = current_context();       \
    if (context == nullptr)                     \
    {                                           \
        return CUDA_ERROR_INVALID_CONTEXT;      \
    }
#define EMU_WORKING_CONTEXT(context)            \
    EMU_CONTEXT(context)                        \
    if (context->sticky != CUDA_SUCCESS)        \
    {                                           \
        return context->sticky;                 \
    }
#define EMU_STREAM(stream, handle)                              \
    std::shared_ptr<Stream> stream = find_stream(context, handle); \
    if (stream == nullptr)                                      \
    {                                                           \
        return CUDA_ERROR_INVALID_HANDLE;                       \
    }
} // namespace emu
