using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Architectures;

/// <summary>The recorded architectures on the CPU.</summary>
[Category("Fixtures")]
[TestFixtureSource(nameof(Cases))]
public sealed class ArchitectureFixtureTests(string name) : ArchitectureSuite(name)
{
    protected override Device Open() => new CpuDevice(2);

    [Test]
    public void The_older_spelling_of_the_configuration_gives_the_same_model()
    {
        string old = Path.Combine(Folder, "config.old-style.json");
        if (!File.Exists(old))
        {
            Assert.Ignore("this case has no config.old-style.json");
        }

        HuggingFaceConfig before = HuggingFaceConfig.Load(old);
        HuggingFaceConfig now = HuggingFaceConfig.Load(Folder);
        Assert.That(LlamaConfig.Parse(before.Root, old), Is.EqualTo(LlamaConfig.Parse(now.Root, Folder)));
    }
}
