// The project's tasks: dotnet tool restore && dotnet cake --target=Ci
// Restore, Build, Format, Test, Kernels, Bench, Docs, Pack, Ci, Demo.

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

Task("Bench")
    .Description("Whole steps, products and generation beside their peers; results under bench/results.")
    .IsDependentOn("Build")
    .Does(() => Dotnet($"run -c {configuration} --no-build --project bench/Graft.Bench -- {Argument("arguments", "")}"));

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
