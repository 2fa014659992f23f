// streams.cpp: the queue of operations. Eager mode runs each at once; lazy mode runs them when something waits for them, as late as the program allows.
#include "streams.h"
#include <time.h>
#include <map>

namespace emu
{
// Never destroyed: the process may end while other threads still use the driver.
static std::map<void*, std::shared_ptr<Stream>>& streams = *new std::map<void*, std::shared_ptr<Stream>>;
static std::map<void*, std::unique_ptr<Event>>& events = *new std::map<void*, std::unique_ptr<Event>>;

std::shared_ptr<Stream> find_stream(Context* context, void* handle)
{
    if ((size_t)handle <= 2)
    {
        return context->null_stream;
    }

    auto entry = streams.find(handle);
    return entry == streams.end() ? nullptr : entry->second;
}

static Context* running;

int current_device()
{
    return running->device;
}

bool peer_enabled(int device)
{
    return running->peers.count(primary_context(device)) != 0;
}

static CUresult run(Stream& stream, const Operation& operation)
{
    Context* context = stream.context;
    if (context->sticky == CUDA_SUCCESS)
    {
        Context* before = running; // an operation that waits for an event runs others
        running = context;
        context->sticky = operation.run();
        running = before;
    }

    return context->sticky;
}

CUresult drain(Stream& stream, uint64_t number)
{
    while (stream.done < number && !stream.queue.empty())
    {
        Operation operation = std::move(stream.queue.front());
        stream.queue.pop_front();
        run(stream, operation);
        stream.done++;
    }

    return stream.context->sticky;
}

CUresult drain_device(Context* context)
{
    drain(*context->null_stream, context->null_stream->submitted);
    for (auto& entry : streams)
    {
        if (entry.second->context == context)
        {
            drain(*entry.second, entry.second->submitted);
        }
    }

    return context->sticky;
}

bool capturing_globally()
{
    for (auto& entry : streams)
    {
        if (entry.second->capture != nullptr && entry.second->capture->mode == 0)
        {
            return true;
        }
    }

    return false;
}

// The null stream waits for all blocking streams of its context, and they wait for it.
static std::vector<std::pair<std::shared_ptr<Stream>, uint64_t>> implicit_dependencies(const std::shared_ptr<Stream>& stream)
{
    std::vector<std::pair<std::shared_ptr<Stream>, uint64_t>> found;
    Context* context = stream->context;
    if (stream == context->null_stream)
    {
        for (auto& entry : streams)
        {
            if (entry.second->context == context && entry.second->blocking)
            {
                found.emplace_back(entry.second, entry.second->submitted);
            }
        }
    }
    else if (stream->blocking)
    {
        found.emplace_back(context->null_stream, context->null_stream->submitted);
    }

    return found;
}

CUresult submit(const std::shared_ptr<Stream>& stream, const char* name, std::function<CUresult()> work)
{
    if (stream->context->sticky != CUDA_SUCCESS)
    {
        return stream->context->sticky;
    }

    if (stream->capture != nullptr)
    {
        if (stream->capture->invalid)
        {
            return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        }

        stream->capture->nodes.push_back({name, std::move(work)});
        stream->unjoined = true;
        return CUDA_SUCCESS;
    }

    if (stream == stream->context->null_stream)
    {
        for (auto& entry : streams)
        {
            if (entry.second->capture != nullptr && entry.second->blocking && entry.second->context == stream->context)
            {
                entry.second->capture->invalid = true;
                return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
            }
        }
    }

    if (!modes.lazy)
    {
        drain(*stream, stream->submitted); // left over from lazy mode
        stream->submitted++;
        stream->done++;
        return run(*stream, {name, std::move(work)});
    }

    auto before = implicit_dependencies(stream);
    stream->submitted++;
    stream->queue.push_back({name, [before, work] {
        for (auto& [other, number] : before)
        {
            if (CUresult error = drain(*other, number))
            {
                return error;
            }
        }

        return work();
    }});
    return CUDA_SUCCESS;
}

static double now()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static Event* find_event(void* handle)
{
    auto entry = events.find(handle);
    return entry == events.end() ? nullptr : entry->second.get();
}

// A call that a capture does not allow ends it.
static CUresult invalidate(Stream& stream)
{
    stream.capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}
} // namespace emu

using namespace emu;

// ---- streams --------------------------------------------------------------------------------------------------------------------------------------
EXPORT CUresult cuStreamCreate(void** stream, unsigned flags)
{
    EMU_WORKING_CONTEXT(context);
    if (stream == nullptr || flags > 1)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    auto created = std::make_shared<Stream>();
    created->context = context;
    created->blocking = flags == 0;
    streams[created.get()] = created;
    *stream = created.get();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamCreateWithPriority(void** stream, unsigned flags, int)
{
    return cuStreamCreate(stream, flags);
}

EXPORT CUresult cuStreamDestroy_v2(void* handle)
{
    Guard guard(lock);
    auto entry = streams.find(handle);
    if (entry == streams.end())
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    std::shared_ptr<Stream> stream = entry->second;
    drain(*stream, stream->submitted);
    streams.erase(handle);
    return stream->context->sticky;
}

EXPORT CUresult cuStreamSynchronize(void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    if (stream->capture != nullptr)
    {
        return invalidate(*stream);
    }

    if (stream == context->null_stream)
    {
        for (auto& [other, number] : implicit_dependencies(stream))
        {
            drain(*other, number);
        }
    }

    return drain(*stream, stream->submitted);
}

// One operation runs per question, so that a loop that polls ends.
EXPORT CUresult cuStreamQuery(void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    if (stream->capture != nullptr)
    {
        return invalidate(*stream);
    }

    bool finished = stream->done == stream->submitted;
    drain(*stream, stream->done + 1);
    return context->sticky != CUDA_SUCCESS ? context->sticky : finished ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

EXPORT CUresult cuStreamWaitEvent(void* handle, void* event, unsigned)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    Event* e = find_event(event);
    if (e == nullptr)
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    if (e->stream == nullptr)
    {
        return CUDA_SUCCESS; // never recorded: nothing to wait for
    }

    if (e->in_capture)
    {
        std::shared_ptr<Graph> graph = e->captured.lock();
        if (graph == nullptr || (stream->capture != nullptr && stream->capture != graph))
        {
            return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
        }

        if (stream->capture == nullptr)
        {
            stream->capture = graph;
            graph->streams.push_back(stream);
            stream->unjoined = true;
        }
        else if (e->stream != stream && e->number == e->stream->submitted)
        {
            e->stream->unjoined = false;
        }

        return CUDA_SUCCESS;
    }

    if (stream->capture != nullptr)
    {
        stream->capture->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }

    std::shared_ptr<Stream> other = e->stream;
    uint64_t number = e->number;
    return submit(stream, "wait for an event", [other, number] { return drain(*other, number); });
}

EXPORT CUresult cuStreamGetCtx(void* handle, void** result)
{
    EMU_CONTEXT(context);
    EMU_STREAM(stream, handle);
    *result = stream->context;
    return CUDA_SUCCESS;
}

// ---- events ---------------------------------------------------------------------------------------------------------------------------------------
EXPORT CUresult cuEventCreate(void** event, unsigned flags)
{
    EMU_WORKING_CONTEXT(context);
    if (event == nullptr || (flags & ~7u) != 0)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    auto created = std::make_unique<Event>();
    created->context = context;
    created->timing = (flags & 2) == 0;
    *event = created.get();
    events[*event] = std::move(created);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuEventDestroy_v2(void* event)
{
    Guard guard(lock);
    Event* e = find_event(event);
    if (e == nullptr)
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    // A queued record still writes its time into the event.
    if (e->stream != nullptr && !e->in_capture)
    {
        drain(*e->stream, e->number);
    }

    Context* context = e->context;
    events.erase(event);
    return context->sticky;
}

EXPORT CUresult cuEventRecord(void* event, void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    Event* e = find_event(event);
    if (e == nullptr || e->context != stream->context)
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    e->stream = stream;
    e->in_capture = stream->capture != nullptr;
    if (e->in_capture)
    {
        e->captured = stream->capture;
        e->number = stream->submitted;
        return CUDA_SUCCESS;
    }

    CUresult result = submit(stream, "record an event", [event] {
        if (Event* e = find_event(event))
        {
            e->seconds = now();
        }

        return CUDA_SUCCESS;
    });
    e->number = stream->submitted;
    return result;
}

EXPORT CUresult cuEventSynchronize(void* event)
{
    EMU_WORKING_CONTEXT(context);
    Event* e = find_event(event);
    if (e == nullptr)
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    return e->in_capture ? CUDA_ERROR_CAPTURED_EVENT : e->stream == nullptr ? CUDA_SUCCESS : drain(*e->stream, e->number);
}

EXPORT CUresult cuEventQuery(void* event)
{
    EMU_WORKING_CONTEXT(context);
    Event* e = find_event(event);
    if (e == nullptr)
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    if (e->in_capture)
    {
        return CUDA_ERROR_CAPTURED_EVENT;
    }

    if (e->stream == nullptr || e->stream->done >= e->number)
    {
        return CUDA_SUCCESS;
    }

    drain(*e->stream, e->stream->done + 1);
    return e->stream->context->sticky != CUDA_SUCCESS ? e->stream->context->sticky : CUDA_ERROR_NOT_READY;
}

EXPORT CUresult cuEventElapsedTime(float* milliseconds, void* start, void* end)
{
    EMU_WORKING_CONTEXT(context);
    Event *a = find_event(start), *b = find_event(end);
    if (a == nullptr || b == nullptr || !a->timing || !b->timing || a->stream == nullptr || b->stream == nullptr)
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }

    if (a->in_capture || b->in_capture)
    {
        return CUDA_ERROR_CAPTURED_EVENT;
    }

    if (a->stream->done < a->number || b->stream->done < b->number)
    {
        return CUDA_ERROR_NOT_READY;
    }

    *milliseconds = (float)((b->seconds - a->seconds) * 1e3);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuEventElapsedTime_v2(float* milliseconds, void* start, void* end)
{
    return cuEventElapsedTime(milliseconds, start, end);
}
