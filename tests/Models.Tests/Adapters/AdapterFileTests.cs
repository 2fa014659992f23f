using System.Text.Json;
using System.Text.Json.Nodes;
using Graft.Models.Adapters;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>Odd files as readers meet them, and several adapters at once: the recorded cases that are not one adapter.</summary>
[Category("Fixtures")]
public sealed class AdapterFileTests
{
    public static IEnumerable<TestCaseData> Variants()
    {
        return OfKind("files").SelectMany(c => Json(c).GetProperty("variants").EnumerateArray()
            .Select(v => new TestCaseData(c, v.GetProperty("folder").GetString()!, v.GetProperty("should").GetString()!)));
    }

    public static IEnumerable<string> Compositions() => OfKind("composition");

    [TestCaseSource(nameof(Variants))]
    public void A_file_is_read_or_refused_as_it_should(string name, string folder, string should)
    {
        using AdapterCase recorded = new(name);
        float[] plain = recorded.Logits();
        if (File.Exists(Path.Combine(recorded.Folder, folder, "adapter_model.bin")))
        {
            // Pickles can run code when read: refused with what to do, on purpose.
            Assert.That(() => recorded.Load(folder), Throws.TypeOf<CheckpointException>().With.Message.Contains("pickle").And.Message.Contains("safetensors"));
            return;
        }

        if (should.StartsWith("be refused", StringComparison.Ordinal))
        {
            CheckpointException e = Assert.Throws<CheckpointException>(() => recorded.Load(folder))!;
            Assert.That(e.Message, Does.Contain(folder), "names the file");
            Assert.That(e.Message, Does.Contain("proj").Or.Contain("peft_type"), "names what is wrong");
            Assert.That(recorded.Host.Adapters, Is.Empty);
            Assert.That(recorded.Logits("recorded"), Is.EqualTo(plain), "nothing is attached");
            return;
        }

        string logits = recorded.Recording.Tensors.ContainsKey($"logits.{folder}") ? $"logits.{folder}" : "logits";
        AttachedAdapter adapter = recorded.Load(folder);
        Closeness.AssertClose(logits, recorded.Logits("recorded"), recorded.Recording.ReadFloats(logits), recorded.Tolerance("logits"));
        Assert.That(adapter.Parameters.Select(p => p.Value.DType), Is.All.EqualTo(DType.F32));
        JsonElement config = AdapterCase.Parse(Path.Combine(recorded.Folder, folder, PeftConfig.FileName));
        string[] unknown = [.. config.EnumerateObject()
            .Select(p => p.Name).Except(AdapterCase.Parse(Path.Combine(recorded.Folder, "plain", PeftConfig.FileName)).EnumerateObject().Select(p => p.Name))];
        Assert.That(unknown.All(k => adapter.Warnings.Any(w => w.Contains($"'{k}'", StringComparison.Ordinal))), "every unknown key has its warning");
        Assert.That(adapter.Warnings, Has.Count.EqualTo(unknown.Length));
        using TemporaryFolder saved = new();
        recorded.Host.Save("recorded", saved.Path);
        JsonElement again = AdapterCase.Parse(Path.Combine(saved.Path, PeftConfig.FileName));
        Assert.That(unknown.All(k => JsonElement.DeepEquals(again.GetProperty(k), config.GetProperty(k))), "unknown keys are written back");
    }

    [TestCaseSource(nameof(Compositions))]
    public void Several_adapters_act_alone_together_and_by_row(string name)
    {
        using AdapterCase recorded = new(name);
        string[] names = [.. Directory.GetDirectories(recorded.Folder).Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        float[] plain = recorded.Logits();
        foreach (string adapter in names)
        {
            _ = recorded.Load(adapter, adapter);
        }

        foreach (string adapter in names)
        {
            Close(recorded, $"active.{adapter}", recorded.Logits(adapter));
        }

        Close(recorded, "active.both", recorded.Logits(names));
        Close(recorded, "disabled", recorded.Logits());
        Assert.That(recorded.Logits(), Is.EqualTo(plain), "without adapters the base's own bits");
        ActiveAdapters[] rows = [.. recorded.Json.GetProperty("mixed").EnumerateArray()
            .Select(r => r.GetString() == "__base__" ? ActiveAdapters.None : recorded.Host.Active(r.GetString()!))];
        Close(recorded, "mixed", recorded.Logits(ActiveAdapters.PerRow(rows)));

        CompareCombinations(recorded, names);
        recorded.Host.Merge(names);
        Closeness.AssertClose("both merged", recorded.Logits(), recorded.Recording.ReadFloats("active.both"), recorded.Tolerance("logits"));
        recorded.Host.Unmerge();
        recorded.Host.Detach(names[0]);
        Close(recorded, $"active.{names[1]}", recorded.Logits(names[1]));
        Assert.That(() => recorded.Host.Active(names[0]), Throws.TypeOf<ConfigurationException>().With.Message.Contains(names[1]));
    }

    [Test]
    public void Values_of_the_wrong_kind_are_typed_errors_and_attach_nothing()
    {
        string[] texts =
        [
            "null", "true", "-1", "0", "2.5", "2000000000", "1e308", "99999999999999999999", "\"x\"", "\"(\"", "[]", "{}", "[1]", "[\"q_proj\"]", "[null]",
            "{\"q_proj\": \"b\"}", "{\"(\": 3}",
        ];
        string[] cases = [.. FixtureFolder.Cases("adapters").Where(c => AdapterTable.Rows.Any(r => r.PeftType == TypeOf(c))).GroupBy(TypeOf)
            .Select(g => g.First())];
        using TemporaryFolder folder = new();
        _ = Directory.CreateDirectory(folder.Path);
        int refused = 0;
        foreach (string name in cases)
        {
            using AdapterCase recorded = new(name);
            File.Copy(Path.Combine(recorded.Folder, "adapter_model.safetensors"), Path.Combine(folder.Path, "adapter_model.safetensors"), true);
            JsonObject config = JsonNode.Parse(File.ReadAllText(Path.Combine(recorded.Folder, PeftConfig.FileName)))!.AsObject();
            foreach (string key in config.Select(p => p.Key).ToArray())
            {
                foreach (string text in texts)
                {
                    JsonNode changed = config.DeepClone();
                    changed[key] = JsonNode.Parse(text);
                    File.WriteAllText(Path.Combine(folder.Path, PeftConfig.FileName), changed.ToJsonString());
                    try
                    {
                        _ = recorded.Host.Load(folder.Path, "fuzzed");
                        recorded.Host.Detach("fuzzed");
                    }
                    catch (CheckpointException)
                    {
                        refused++;
                        Assert.That(recorded.Host.Adapters, Is.Empty);
                    }
                }
            }
        }

        Assert.That(refused, Is.GreaterThan(cases.Length));
    }

    // PEFT's forms that drop, trim or vote (ties, dare, magnitude_prune) are not built.
    private static void CompareCombinations(AdapterCase recorded, string[] names)
    {
        double[] weights = [.. recorded.Json.GetProperty("weights").EnumerateArray().Select(w => w.GetDouble())];
        (string, double)[] parts = [.. names.Zip(weights)];
        foreach (JsonProperty option in recorded.Json.GetProperty("options").EnumerateObject())
        {
            AdapterCombination? how = option.Name switch
            {
                "cat" => AdapterCombination.Concatenate,
                "linear" => AdapterCombination.Linear,
                "svd" => AdapterCombination.SingularValues,
                _ => null,
            };
            if (how is null)
            {
                continue;
            }

            int rank = option.Value.TryGetProperty("svd_rank", out JsonElement r) ? r.GetInt32() : 0;
            AttachedAdapter combined = recorded.Host.Combine("combined", parts, how.Value, rank);
            Close(recorded, $"weighted.{option.Name}", recorded.Logits("combined"));
            string prefix = $"weighted.{option.Name}.delta.";
            foreach (string tensor in recorded.Recording.Tensors.Keys.Where(k => k.StartsWith(prefix, StringComparison.Ordinal)))
            {
                string module = tensor[prefix.Length..];
                LoraFactors factors = recorded.Model.Linears.Single(l => l.Name == module).Adapters.Find("combined")!.ToLora()!;
                Closeness.AssertClose(tensor, Product(factors), recorded.Recording.ReadFloats(tensor), recorded.Tolerance("delta"));
            }

            recorded.Host.Detach("combined");
            Assert.That(combined.Config.Rank, Is.GreaterThan(0));
        }
    }

    private static float[] Product(LoraFactors factors)
    {
        int inputs = factors.A.Length / factors.Rank;
        float[] product = new float[factors.B.Length / factors.Rank * inputs];
        for (int i = 0; i < product.Length; i++)
        {
            double sum = 0;
            for (int k = 0; k < factors.Rank; k++)
            {
                sum += (double)factors.B[(i / inputs * factors.Rank) + k] * factors.A[(k * inputs) + (i % inputs)];
            }

            product[i] = (float)(factors.Scale * sum);
        }

        return product;
    }

    private static string? TypeOf(string name)
    {
        string file = FixtureFolder.PathOf("adapters", name, PeftConfig.FileName);
        return File.Exists(file) ? AdapterCase.Parse(file).GetProperty("peft_type").GetString() : null;
    }

    private static void Close(AdapterCase recorded, string what, float[] actual)
    {
        Closeness.AssertClose(what, actual, recorded.Recording.ReadFloats(what), recorded.Tolerance("logits"));
    }

    private static IEnumerable<string> OfKind(string kind)
    {
        return FixtureFolder.Cases("adapters").Where(c => Json(c).TryGetProperty("kind", out JsonElement k) && k.GetString() == kind);
    }

    private static JsonElement Json(string name) => AdapterCase.Parse(FixtureFolder.PathOf("adapters", name, "case.json"));
}
