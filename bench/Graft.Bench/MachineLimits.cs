namespace Graft.Bench;

/// <summary>What a machine can do at most: GFLOP/s of F32 multiply-adds, and GB/s; copied bytes count twice, as read and as written.</summary>
internal readonly record struct MachineLimits(
    double PeakOneCore, double PeakAllCores, double ReadOneCore, double ReadAllCores, double CopyOneCore, double CopyAllCores);
