using Graft.Bench;

return await BenchCommand.RunAsync(args);
