// The project's tasks: dotnet tool restore && dotnet cake --target=Ci
// Restore, Build, Format, Test, Kernels, Publish, Bench, Docs, Pack, Ci, Demo.

string target = Argument("target", "Ci");
string configuration = Argument("configuration", "Release");
bool tested = Argument("tested", false); // the tests were run just before, by the command of the README
const string Solution = "Runtime.sln";

void Dotnet(string arguments, IDictionary<string, string> environment = null)
{
    int code = StartProcess("dotnet", new ProcessSettings { Arguments = arguments, EnvironmentVariables = environment });
    if (code != 0)
    {
        throw new CakeException($"dotnet {arguments}: exit code {code}");
    }
}

Task("Restore").Does(() => Dotnet($"restore {Solution}"));

Task("Build").IsDependentOn("Restore").Does(() => Dotnet($"build {Solution} -c {configuration} --no-restore"));

Task("Format")
    .Description("Fails where dotnet format would change a file.")
    .IsDependentOn("Restore")
    .Does(() => Dotnet($"format {Solution} --no-restore --verify-no-changes --severity warn"));

Task("Test")
    .IsDependentOn("Build")
    .WithCriteria(!tested, "tested before")
    .Does(() => Dotnet($"test {Solution} -c {configuration} --no-build"));

Task("Kernels")
    .Description("Compiles every CUDA kernel with NVIDIA's compiler for every architecture, and checks registers and spills; fetches the compiler where it is not there.")
    .IsDependentOn("Build")
    .Does(() => Dotnet($"test {Solution} -c {configuration} --no-build --filter Category=Nvrtc"));

Task("Docs")
    .Description("Rewrites the generated pages of docs/ (ops, kernels, methods, the run file); in CI fails where a page was not up to date.")
    .IsDependentOn("Build")
    .Does(() =>
{
    bool ci = HasEnvironmentVariable("CI");
    Dotnet(
        $"test {Solution} -c {configuration} --no-build --filter Category=Docs",
        ci ? null : new Dictionary<string, string> { ["GRAFT_UPDATE_DOCS"] = "1" });
});

Task("Changelog")
    .Description("A change of the public API stands in CHANGELOG.md: the list of API lines and the log are never changed apart.")
    .Does(() =>
{
    if (!FileExists("CHANGELOG.md") || !System.IO.File.ReadAllText("CHANGELOG.md").Contains("## Unreleased"))
    {
        throw new CakeException("CHANGELOG.md has no section '## Unreleased'.");
    }
});

Task("Pack").IsDependentOn("Build").Does(() => Dotnet($"pack {Solution} -c {configuration} --no-build -o artifacts/packages"));

Task("Publish")
    .Description("The graft tool for this machine, compiled ahead of time: artifacts/publish/ready-to-run (needs .NET) and artifacts/publish/native (one file).")
    .Does(() =>
{
    // Artifacts folders of their own: what is built for a runtime does not mix with the daily build.
    Dotnet("publish src/Cli -c Release --use-current-runtime --self-contained false -p:PublishReadyToRun=true --artifacts-path artifacts/ready-to-run-build -o artifacts/publish/ready-to-run -p:RunAnalyzers=false -v q --nologo");
    const string Native = "publish src/Cli -c Release --use-current-runtime -p:PublishAot=true --artifacts-path artifacts/native-build -o artifacts/publish/native -p:RunAnalyzers=false -v q --nologo";
    if (StartProcess("dotnet", Native) != 0)
    {
        Warning("No native binary: it needs clang (or gcc) and zlib's headers.");
    }
});

Task("Bench")
    .Description("Whole steps, products and generation beside their peers; results, table and picture under bench/results, the newest in docs/performance.md. "
        + "--arguments=\"gpt2 --quick\" for the program; --peers=false leaves llama.cpp, OpenBLAS and llm.c out.")
    .IsDependentOn("Build")
    .IsDependentOn("Publish")
    .Does(() =>
{
    Dictionary<string, string> environment = new();
    if (IsRunningOnLinux())
    {
        StartProcess("bash", "bench/patch-torchsharp.sh"); // says why where it cannot, and our side is measured alone
        string peers = MakeAbsolute(Directory("artifacts/peers")).FullPath;
        if (Argument("peers", true))
        {
            StartProcess("bash", $"bench/fetch-peers.sh {peers}"); // rows of a peer that cannot be had say so
        }

        foreach ((string variable, string file) in new[] { ("GRAFT_LLAMA_BENCH", "llama-bench"), ("GRAFT_OPENBLAS", "openblas/libopenblas.so.0"), ("GRAFT_LLM_C", "llmc_step") })
        {
            if (!HasEnvironmentVariable(variable) && FileExists($"{peers}/{file}"))
            {
                environment[variable] = $"{peers}/{file}";
            }
        }
    }

    Dotnet($"run -c {configuration} --no-build --project bench/Graft.Bench -- {Argument("arguments", "")}", environment);
});

Task("GpuSmoke")
    .Description("The benchmarks of a card at tiny sizes on the emulated driver: that they run, no figures. Needs g++.")
    .IsDependentOn("Build")
    .Does(() =>
{
    string emulator = MakeAbsolute(Directory("artifacts/emulator")).FullPath;
    if (StartProcess("bash", $"tests/CudaEmulator/build.sh {emulator}") != 0)
    {
        throw new CakeException("tests/CudaEmulator/build.sh failed; it needs g++.");
    }

    Dotnet(
        $"run -c {configuration} --no-build --project bench/Graft.Bench -- gpu --emulated-smoke",
        new Dictionary<string, string> { ["GRAFT_CUDA_PATH"] = emulator, ["GRAFT_CACHE"] = $"{emulator}/kernels" });
});

Task("GpuBundle")
    .Description("artifacts/gpu-bundle: tests, benchmarks, sample and peers' scripts for a Linux machine with an NVIDIA card and no .NET; docs/gpu.md.")
    .Does(() =>
{
    const string Bundle = "artifacts/gpu-bundle", Program = "artifacts/gpu-program", Data = "artifacts/gpu-data/data";
    foreach (string folder in new[] { Bundle, Program, Data })
    {
        CleanDirectory(folder);
    }

    // Its own artifacts folder: what is built for a runtime of its own does not mix with the daily build. The analyzers have had their say there.
    Dotnet($"publish bench/gpu/Graft.Gpu -c Release -r linux-x64 --self-contained --artifacts-path artifacts/gpu-build -o {Program} -p:DebugType=none -p:RunAnalyzers=false -v q --nologo");

    // What only debuggers, test hosts and other languages need.
    DeleteFiles(GetFiles($"{Program}/*.xml") + GetFiles($"{Program}/*.pdb") + GetFiles($"{Program}/createdump") + GetFiles($"{Program}/libmscordbi.so")
        + GetFiles($"{Program}/libmscordaccore.so") + GetFiles($"{Program}/Microsoft.VisualBasic*") + GetFiles($"{Program}/Microsoft.TestPlatform*")
        + GetFiles($"{Program}/libclrgc*.so") + GetFiles($"{Program}/libcoreclrtraceptprovider.so")
        + GetFiles($"{Program}/testhost*") + GetFiles($"{Program}/NUnit3.TestAdapter*"));
    foreach (string area in new[] { "adapters", "architectures", "decoding", "ops" }) // what tests of the category CudaEmulator read
    {
        CopyDirectory($"tests/Fixtures/{area}", $"{Data}/Fixtures/{area}");
    }

    CopyDirectory("samples/e2e-nlg", $"{Data}/samples/e2e-nlg");
    CopyDirectory("samples/models", $"{Data}/samples/models");
    CleanDirectory($"{Data}/samples/e2e-nlg/out");
    CreateDirectory($"{Bundle}/peers");
    CopyFiles("bench/gpu/peers/*.py", $"{Bundle}/peers");
    CopyFile("bench/gpu/run.sh", $"{Bundle}/run.sh");
    CopyFile("docs/gpu.md", $"{Bundle}/README.md");
    foreach (string arguments in new[] { $"-C {Program} -cJf {Bundle}/program.tar.xz .", $"-C artifacts/gpu-data -cJf {Bundle}/data.tar.xz data" })
    {
        if (StartProcess("tar", arguments) != 0)
        {
            throw new CakeException($"tar {arguments} failed; it needs tar and xz.");
        }
    }

    long bytes = GetFiles($"{Bundle}/**/*").Sum(f => new System.IO.FileInfo(f.FullPath).Length);
    Information($"{Bundle}: {bytes / 1e6:F1} MB");
    if (bytes > 50_000_000)
    {
        throw new CakeException($"{Bundle} has {bytes / 1e6:F1} MB, and 50 are the most: see what grew with tar -tvf.");
    }
});

Task("Demo")
    .Description("Fine-tunes the small model that is shipped with the samples.")
    .IsDependentOn("Build")
    .Does(() => Dotnet($"run -c {configuration} --no-build --project src/Cli -- train samples/e2e-nlg/run.yaml"));

Task("Ci")
    .IsDependentOn("Build")
    .IsDependentOn("Format")
    .IsDependentOn("Test")
    .IsDependentOn("Docs")
    .IsDependentOn("Changelog")
    .IsDependentOn("Pack");

RunTarget(target);
