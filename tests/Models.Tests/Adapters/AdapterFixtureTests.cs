using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>The recorded adapters on the CPU, and their files.</summary>
[Category("Fixtures")]
[TestFixtureSource(nameof(Cases))]
public sealed class AdapterFixtureTests(string name) : AdapterSuite(name)
{
    protected override Device OpenDevice() => new CpuDevice(2);

    [Test]
    public void Saving_gives_the_files_of_PEFT_and_reads_back()
    {
        AttachedAdapter adapter = Case.Load();
        float[] logits = Case.Logits(Active);
        using TemporaryFolder folder = new();
        Case.Host.Save(Active, folder.Path);
        AssertSameTensors(Path.Combine(folder.Path, "adapter_model.safetensors"), Path.Combine(Case.Folder, "adapter_model.safetensors"));
        if (!Case.HoldsResidual)
        {
            AssertSameConfig(Path.Combine(folder.Path, PeftConfig.FileName), Path.Combine(Case.Folder, PeftConfig.FileName));
        }

        Case.Host.Detach(Active);
        AttachedAdapter again = Case.Host.Load(folder.Path, Active);
        Assert.That(again.Config with { OtherKeys = adapter.Config.OtherKeys }, Is.EqualTo(adapter.Config));
        Assert.That(Case.Logits(Active), Is.EqualTo(logits));
    }

    private static void AssertSameTensors(string ours, string theirs)
    {
        using SafeTensorsFile a = SafeTensorsFile.Open(ours);
        using SafeTensorsFile b = SafeTensorsFile.Open(theirs);
        Assert.That(a.Tensors.Keys.Order(StringComparer.Ordinal), Is.EqualTo(b.Tensors.Keys.Order(StringComparer.Ordinal)));
        Assert.That(a.Metadata, Is.EquivalentTo(b.Metadata));
        foreach ((string tensor, TensorEntry entry) in b.Tensors)
        {
            Assert.That((a.Tensors[tensor].Shape, a.Tensors[tensor].TypeName), Is.EqualTo((entry.Shape, entry.TypeName)), tensor);
            Assert.That(a.Bytes(tensor).SequenceEqual(b.Bytes(tensor)), tensor);
        }
    }

    private static void AssertSameConfig(string ours, string theirs)
    {
        JsonElement a = AdapterCase.Parse(ours);
        JsonElement b = AdapterCase.Parse(theirs);
        Assert.That(a.EnumerateObject().Select(p => p.Name), Is.EqualTo(b.EnumerateObject().Select(p => p.Name)), "keys, sorted");
        foreach (JsonProperty property in b.EnumerateObject())
        {
            JsonElement value = a.GetProperty(property.Name);
            bool set = property.Name is "target_modules" or "modules_to_save" or "exclude_modules" && property.Value.ValueKind == JsonValueKind.Array;
            Assert.That(set ? Names(value).SetEquals(Names(property.Value)) : JsonElement.DeepEquals(value, property.Value),
                $"{property.Name}: {value} where PEFT has {property.Value}");
        }

        static HashSet<string> Names(JsonElement list) => [.. list.EnumerateArray().Select(n => n.GetString()!)];
    }
}
