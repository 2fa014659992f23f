using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Cpu;

[TestFixture]
internal sealed class WorkerTeamTests
{
    [Test]
    public void Every_chunk_runs_exactly_once([Values(1, 2, 3, 7)] int threads, [Values(0, 1, 2, 5, 1000)] int chunks)
    {
        using WorkerTeam team = new(threads);
        for (int round = 0; round < 50; round++)
        {
            CountWork work = new() { Counts = new int[chunks], Threads = threads };
            team.Run(chunks, ref work);
            Assert.That(work.Counts, Is.All.EqualTo(1));
        }
    }

    [Test]
    public void Jobs_after_a_pause_and_jobs_in_a_row_both_finish()
    {
        using WorkerTeam team = new(3);
        for (int round = 0; round < 2000; round++)
        {
            CountWork work = new() { Counts = new int[5], Threads = 3 };
            team.Run(5, ref work);
            Assert.That(work.Counts, Is.All.EqualTo(1));
            if (round % 500 == 0)
            {
                Thread.Sleep(5); // long enough for the workers to fall asleep
            }
        }
    }

    [Test]
    public void A_failure_reaches_the_caller_once_and_the_team_goes_on([Values(1, 2, 4)] int threads)
    {
        using WorkerTeam team = new(threads);
        FailingWork failing = new() { FailAt = 7 };
        Assert.That(() => team.Run(20, ref failing), Throws.TypeOf<GraftException>().With.Message.EqualTo("chunk 7"));
        CountWork work = new() { Counts = new int[9], Threads = threads };
        team.Run(9, ref work);
        Assert.That(work.Counts, Is.All.EqualTo(1));
    }

    [Test]
    public void A_call_from_inside_a_chunk_runs_on_that_worker([Values(1, 3)] int threads)
    {
        using WorkerTeam team = new(threads);
        NestedWork work = new() { Team = team, Sums = new int[40] };
        team.Run(40, ref work);
        Assert.That(work.Sums, Is.All.EqualTo(45));
    }

    [Test]
    public void Several_callers_take_turns()
    {
        using WorkerTeam team = new(3);
        int wrong = 0;
        Thread[] callers = [.. Enumerable.Range(0, 4).Select(_ => new Thread(() =>
        {
            for (int round = 0; round < 300; round++)
            {
                CountWork work = new() { Counts = new int[17], Threads = 3 };
                team.Run(17, ref work);
                if (work.Counts.Any(c => c != 1))
                {
                    Interlocked.Increment(ref wrong);
                }
            }
        }))];
        Array.ForEach(callers, c => c.Start());
        Array.ForEach(callers, c => c.Join());
        Assert.That(wrong, Is.Zero);
    }

    [Test]
    public void A_call_allocates_nothing()
    {
        using WorkerTeam team = new(3);
        CountWork work = new() { Counts = new int[100], Threads = 3 };
        for (int i = 0; i < 2000; i++)
        {
            team.Run(100, ref work);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            team.Run(100, ref work);
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1000)); // the runtime may box a counter of its own once, never per call
    }

    [Test]
    public void A_disposed_team_refuses_work()
    {
        WorkerTeam team = new(2);
        team.Dispose();
        team.Dispose();
        CountWork work = new() { Counts = new int[1], Threads = 2 };
        Assert.That(() => team.Run(1, ref work), Throws.TypeOf<ObjectDisposedException>());
    }

    [Test]
    public void Chunk_counts_depend_on_the_size_alone()
    {
        Assert.That(WorkerTeam.ChunksFor(0), Is.Zero);
        Assert.That(WorkerTeam.ChunksFor(1), Is.EqualTo(1));
        Assert.That(WorkerTeam.ChunksFor(WorkerTeam.Grain), Is.EqualTo(1));
        Assert.That(WorkerTeam.ChunksFor(WorkerTeam.Grain + 1), Is.EqualTo(2));
    }

    private struct CountWork : IChunkWork
    {
        public int[] Counts;
        public int Threads;

        public readonly void Invoke(int chunk, int worker)
        {
            if (worker < 0 || worker >= Threads)
            {
                throw new GraftException($"worker {worker}");
            }

            Interlocked.Increment(ref Counts[chunk]);
        }
    }

    private struct FailingWork : IChunkWork
    {
        public int FailAt;

        public readonly void Invoke(int chunk, int worker)
        {
            if (chunk == FailAt)
            {
                throw new GraftException($"chunk {chunk}");
            }
        }
    }

    private struct NestedWork : IChunkWork
    {
        public WorkerTeam Team;
        public int[] Sums;

        public readonly void Invoke(int chunk, int worker)
        {
            SumWork inner = new() { Expected = worker };
            Team.Run(10, ref inner);
            Sums[chunk] = inner.Sum;
        }
    }

    private struct SumWork : IChunkWork
    {
        public int Sum;
        public int Expected;

        public void Invoke(int chunk, int worker) => Sum += worker == Expected ? chunk : 1000;
    }
}
