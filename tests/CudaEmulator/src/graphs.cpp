// graphs.cpp: capture and replay. A graph is what was submitted, in that order, which is one that the streams and events allow.
#include <algorithm>
#include <map>
#include "streams.h"

// Never destroyed: the process may end while other threads still use the driver.
static std::map<void*, std::shared_ptr<emu::Graph>>& graphs = *new std::map<void*, std::shared_ptr<emu::Graph>>;
static std::map<void*, std::shared_ptr<emu::Graph>>& executables = *new std::map<void*, std::shared_ptr<emu::Graph>>;

using namespace emu;

EXPORT CUresult cuStreamBeginCapture_v2(void* handle, int mode)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    if (stream == context->null_stream)
    {
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }

    if (stream->capture != nullptr || mode < 0 || mode > 2)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    stream->capture = std::make_shared<Graph>();
    stream->capture->origin = stream.get();
    stream->capture->streams.push_back(stream);
    stream->capture->mode = mode;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamEndCapture(void* handle, void** graph)
{
    EMU_CONTEXT(context);
    EMU_STREAM(stream, handle);
    std::shared_ptr<Graph> captured = stream->capture;
    *graph = nullptr;
    if (captured == nullptr)
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    if (captured->origin != stream.get())
    {
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    }

    CUresult result = captured->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
    for (auto& other : captured->streams)
    {
        if (result == CUDA_SUCCESS && other != stream && other->unjoined)
        {
            result = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
        }

        other->capture = nullptr;
        other->unjoined = false;
    }

    captured->streams.clear();
    if (result == CUDA_SUCCESS)
    {
        graphs[captured.get()] = captured;
        *graph = captured.get();
    }

    return result;
}

EXPORT CUresult cuStreamIsCapturing(void* handle, int* status)
{
    EMU_CONTEXT(context);
    EMU_STREAM(stream, handle);
    *status = stream->capture == nullptr ? 0 : stream->capture->invalid ? 2 : 1;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long)
{
    EMU_WORKING_CONTEXT(context);
    auto entry = graphs.find(graph);
    if (entry == graphs.end())
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    auto copy = std::make_shared<Graph>(*entry->second);
    executables[copy.get()] = copy;
    *executable = copy.get();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphLaunch(void* executable, void* handle)
{
    EMU_WORKING_CONTEXT(context);
    EMU_STREAM(stream, handle);
    auto entry = executables.find(executable);
    if (entry == executables.end())
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    std::shared_ptr<Graph> graph = entry->second;
    return submit(stream, "graph", [graph] {
        for (const Operation& node : graph->nodes)
        {
            if (CUresult error = node.run())
            {
                return error;
            }
        }

        return CUDA_SUCCESS;
    });
}

EXPORT CUresult cuGraphExecDestroy(void* executable)
{
    Guard guard(lock);
    return executables.erase(executable) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

EXPORT CUresult cuGraphDestroy(void* graph)
{
    Guard guard(lock);
    return graphs.erase(graph) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

EXPORT CUresult cuGraphGetNodes(void* graph, void** nodes, size_t* count)
{
    Guard guard(lock);
    auto entry = graphs.find(graph);
    if (entry == graphs.end())
    {
        return CUDA_ERROR_INVALID_VALUE;
    }

    std::vector<Operation>& all = entry->second->nodes;
    if (nodes == nullptr)
    {
        *count = all.size();
        return CUDA_SUCCESS;
    }

    for (size_t i = 0; i < *count; i++)
    {
        nodes[i] = i < all.size() ? &all[i] : nullptr;
    }

    *count = std::min(*count, all.size());
    return CUDA_SUCCESS;
}
