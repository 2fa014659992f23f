using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Graft.Runtime.Cpu;

/// <summary>Work cut into chunks. What a chunk computes may depend on its number only; the worker's number selects scratch memory and nothing else.</summary>
internal interface IChunkWork
{
    /// <summary>Does chunk <paramref name="chunk"/> on worker <paramref name="worker"/>, which is in [0, Threads).</summary>
    void Invoke(int chunk, int worker);
}

/// <summary>A fixed team of threads that runs chunks of CPU kernels; the calling thread is one of them.</summary>
/// <remarks>
/// Chunks are claimed from a counter, so who runs a chunk is open and must not matter for the result. A job never waits for a thread that is still
/// waking up: workers join an open job and the caller closes it when no chunk is left. Calls from several threads take turns; a call from inside a
/// chunk of the same team runs on that chunk's thread. No managed memory is allocated by a call.
/// </remarks>
public sealed unsafe class WorkerTeam : IDisposable
{
    /// <summary>Elements per chunk of the element-wise kernels: 128 KiB of F32, some 10 µs, well above the cost of claiming a chunk.</summary>
    internal const int Grain = 32768;

    private const long Open = 1L << 31;
    private const int SpinRounds = 3000; // times about 70 ns: covers the gaps between the operations of a decoded token (40 x 0.7 µs: 106 instead of 131 tokens/s), gives the core back after that
    private const int SpinLength = 2;    // a job is seen within 70 ns; a decoded token has two hundred jobs of 20 to 60 µs

    [ThreadStatic]
    private static WorkerTeam? s_team;

    [ThreadStatic]
    private static int s_worker;

    private readonly Lock _turn = new();
    private readonly object _bell = new();
    private readonly object _done = new();
    private readonly Thread[] _threads;
    private readonly CpuScratch _scratch;
    private Counters _counters;
    private delegate*<void*, int, int, void> _thunk;
    private void* _work;
    private int _chunks;
    private int _sleepers;
    private int _callerAsleep;
    private Exception? _failure;
    private volatile bool _stop;

    /// <summary>Starts the team.</summary>
    /// <param name="threads">How many threads work, the caller included; at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than one thread.</exception>
    public WorkerTeam(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        Threads = threads;
        _scratch = new CpuScratch(threads);
        _threads = new Thread[threads - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            int worker = i + 1;
            _threads[i] = new Thread(() => Loop(worker), 1 << 20) { IsBackground = true, Name = $"graft worker {worker}" };
            _threads[i].Start();
        }
    }

    /// <summary>How many threads work on a call, the caller included.</summary>
    public int Threads { get; }

    /// <summary>Stops and joins the threads and frees their scratch memory; waits for a call in progress.</summary>
    /// <exception cref="InvalidOperationException">Called from inside a chunk of this team.</exception>
    public void Dispose()
    {
        if (s_team == this)
        {
            throw new InvalidOperationException("WorkerTeam: a chunk cannot dispose the team that runs it; dispose it after the call.");
        }

        lock (_turn)
        {
            if (_stop)
            {
                return;
            }

            _stop = true;
            lock (_bell)
            {
                Monitor.PulseAll(_bell);
            }

            foreach (Thread thread in _threads)
            {
                thread.Join();
            }

            _scratch.Dispose();
        }
    }

    /// <summary>The number of chunks of <see cref="Grain"/> elements; a function of the size alone, never of the thread count.</summary>
    internal static int ChunksFor(long elements) => ChunksFor(elements, Grain);

    /// <summary>The number of chunks of <paramref name="grain"/> elements: chunk c covers [c·grain, min((c + 1)·grain, elements)).</summary>
    internal static int ChunksFor(long elements, long grain) => checked((int)((elements + grain - 1) / grain));

    /// <summary>Scratch memory of a worker, 64-byte aligned, <see cref="CpuScratch.BytesPerWorker"/> bytes; only for use inside a chunk.</summary>
    internal byte* Scratch(int worker) => _scratch.Of(worker);

    /// <summary>A half, 0 or 1, of the memory that all workers share, 64-byte aligned, <see cref="CpuScratch.SharedBytes"/> bytes; for a job that is not <see cref="IsInside"/> another.</summary>
    internal byte* SharedScratch(int half) => _scratch.Shared(half);

    /// <summary>The calling thread is inside a chunk of this team.</summary>
    internal bool IsInside => s_team == this;

    /// <summary>Runs chunks 0..<paramref name="chunks"/>-1 of <paramref name="work"/> and returns when all are done; the first failure is rethrown then, chunks not begun by that time are skipped.</summary>
    internal void Run<TWork>(int chunks, ref TWork work)
        where TWork : struct, IChunkWork
    {
        if (chunks <= 0)
        {
            return;
        }

        if (s_team == this)
        {
            for (int chunk = 0; chunk < chunks; chunk++)
            {
                work.Invoke(chunk, s_worker);
            }

            return;
        }

        // A copy on this stack: the reference may point into a heap object, which could move while workers hold its address.
        TWork local = work;
        lock (_turn)
        {
            ObjectDisposedException.ThrowIf(_stop, this);
            WorkerTeam? outer = s_team;
            int outerWorker = s_worker;
            s_team = this;
            s_worker = 0;
            try
            {
                if (Threads == 1 || chunks == 1)
                {
                    for (int chunk = 0; chunk < chunks; chunk++)
                    {
                        local.Invoke(chunk, 0);
                    }
                }
                else
                {
                    Share(&Thunk<TWork>, Unsafe.AsPointer(ref local), chunks);
                }
            }
            finally
            {
                s_team = outer;
                s_worker = outerWorker;
            }
        }

        work = local;
    }

    private static void Thunk<TWork>(void* work, int chunk, int worker)
        where TWork : struct, IChunkWork
        => Unsafe.AsRef<TWork>(work).Invoke(chunk, worker);

    private static int Active(long state) => (int)(state & (Open - 1));

    private void Share(delegate*<void*, int, int, void> thunk, void* work, int chunks)
    {
        _thunk = thunk;
        _work = work;
        _chunks = chunks;
        _failure = null;
        _counters.Next = 0;
        long generation = (_counters.State >> 32) + 1;
        Interlocked.Exchange(ref _counters.State, (generation << 32) | Open);

        int wake = Math.Min(Volatile.Read(ref _sleepers), chunks - 1);
        if (wake > 0)
        {
            lock (_bell)
            {
                for (int i = 0; i < wake; i++)
                {
                    Monitor.Pulse(_bell);
                }
            }
        }

        Drain(0);
        if (Active(Interlocked.And(ref _counters.State, ~Open)) != 0)
        {
            AwaitWorkers();
        }

        _work = null;
        if (_failure is { } failure)
        {
            _failure = null;
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    private void AwaitWorkers()
    {
        for (int i = 0; i < SpinRounds; i++)
        {
            if (Active(Volatile.Read(ref _counters.State)) == 0)
            {
                return;
            }

            Thread.SpinWait(SpinLength);
        }

        lock (_done)
        {
            // The exchange orders the flag before the read of the state; a leaving worker does the two in the opposite order, so one sees the other.
            Interlocked.Exchange(ref _callerAsleep, 1);
            while (Active(Volatile.Read(ref _counters.State)) != 0)
            {
                Monitor.Wait(_done);
            }

            _callerAsleep = 0;
        }
    }

    private void Drain(int worker)
    {
        while (true)
        {
            int chunk = Interlocked.Increment(ref _counters.Next) - 1;
            if (chunk >= _chunks)
            {
                return;
            }

            try
            {
                _thunk(_work, chunk, worker);
            }
#pragma warning disable CA1031 // every failure travels to the caller, whatever its type
            catch (Exception failure)
#pragma warning restore CA1031
            {
                Interlocked.CompareExchange(ref _failure, failure, null);
                Interlocked.Exchange(ref _counters.Next, _chunks);
            }
        }
    }

    private void Loop(int worker)
    {
        s_team = this;
        s_worker = worker;
        int seen = 0;
        while (Join(ref seen))
        {
            Drain(worker);
            long state = Interlocked.Decrement(ref _counters.State);
            if ((state & Open) == 0 && Active(state) == 0 && Volatile.Read(ref _callerAsleep) != 0)
            {
                lock (_done)
                {
                    Monitor.PulseAll(_done);
                }
            }
        }
    }

    /// <summary>Waits for a job this worker has not been in and joins it; false when the team stops.</summary>
    private bool Join(ref int seen)
    {
        int spins = 0;
        while (!_stop)
        {
            long state = Volatile.Read(ref _counters.State);
            if (IsNew(state, seen))
            {
                if (Interlocked.CompareExchange(ref _counters.State, state + 1, state) == state)
                {
                    seen = (int)(state >> 32);
                    return true;
                }
            }
            else if (spins++ < SpinRounds)
            {
                Thread.SpinWait(SpinLength);
            }
            else
            {
                Sleep(seen);
                spins = 0;
            }
        }

        return false;
    }

    private static bool IsNew(long state, int seen) => (state & Open) != 0 && (int)(state >> 32) != seen;

    private void Sleep(int seen)
    {
        lock (_bell)
        {
            Interlocked.Increment(ref _sleepers);
            while (!_stop && !IsNew(Volatile.Read(ref _counters.State), seen))
            {
                Monitor.Wait(_bell);
            }

            Interlocked.Decrement(ref _sleepers);
        }
    }

    /// <summary>The two words that all threads write, each on cache lines of its own (two: processors fetch pairs).</summary>
    [StructLayout(LayoutKind.Explicit, Size = 384)]
    private struct Counters
    {
        /// <summary>Generation of the job (upper half), open flag (bit 31), workers inside (lower bits).</summary>
        [FieldOffset(128)]
        public long State;

        /// <summary>The next chunk to claim.</summary>
        [FieldOffset(256)]
        public int Next;
    }
}
