using System.Text.Json;
using Graft.Models.Adapters;
using Graft.Runtime;

namespace Graft.Models.Tests.Adapters;

/// <summary>Every recorded adapter of PEFT: logits, loss, gradients, merged weights.</summary>
/// <remarks>One suite, one class per device: <see cref="AdapterFixtureTests"/> on the CPU, <see cref="AdapterCudaTests"/> on CUDA.</remarks>
/// <param name="name">The folder of the recording.</param>
public abstract class AdapterSuite(string name) : AdapterFixture
{
    [SetUp]
    public void Open() => Open(name);

    [Test]
    public void Forward_and_gradients_agree()
    {
        AttachedAdapter adapter = Case.Load();
        Assert.That(adapter.Warnings, Is.Empty);
        Assert.That(adapter.TrainableCount, Is.EqualTo(Case.Json.GetProperty("trainable").GetInt64()), "trained numbers");
        Close("logits", Case.Logits(Active), "logits", "logits");
        TakeRecordedResidual();
        double loss = Case.LossAndGradients(Active);
        AssertLoss("loss", loss, "loss");
        AssertAll(adapter, "grad.", "grad", p => p.HasGradient ? p.Gradient!.ToArray<float>() : null);
        float[][] kept = Gradients();
        Assert.That(Case.LossAndGradients(Active, checkpointing: true), Is.EqualTo(loss), "layers run again in backward");
        Assert.That(Gradients(), Is.EqualTo(kept));
        Assert.That(Case.Model.Parameters.Where(p => p.HasGradient && !adapter.Parameters.Any(a => a.Parameter == p)), Is.Empty, "gradients of the base");

        float[][] Gradients() => [.. adapter.Parameters.Where(p => p.Parameter.HasGradient).Select(p => p.Parameter.Gradient!.ToArray<float>())];
    }

    [Test]
    public void Merging_agrees_and_unmerging_restores_all_bits()
    {
        _ = Case.Load();
        Dictionary<string, float[]> before = Case.Model.Parameters.ToDictionary(p => p.Name, p => p.Value.ToArray<float>());
        float[] attached = Case.Logits(Active);
        bool mergesAlike = Case.Json.TryGetProperty("merged_equals_adapter", out JsonElement equal) && equal.GetBoolean();
        if (!mergesAlike)
        {
            // PEFT changes both sides of a tied pair; we refuse, or give the changed side a weight of its own.
            Assert.That(() => Case.Host.Merge([Active]), Throws.TypeOf<NotMergeableException>());
            Assert.That(Case.Logits(Active), Is.EqualTo(attached), "a refused merge changes nothing");
        }

        Case.Host.Merge([Active], untie: !mergesAlike);
        float[] merged = Case.Logits();
        Closeness.AssertClose("merged against attached", merged, attached, Case.Tolerance("logits"));
        Assert.That(Case.Logits(Active), Is.EqualTo(merged), "a merged adapter does not act twice");
        if (mergesAlike)
        {
            Close("merged.logits", merged, "merged.logits", "merged");
            foreach (Parameter parameter in Case.Model.Parameters.Where(p => Case.Recording.Tensors.ContainsKey("merged." + p.Name)))
            {
                Close("merged." + parameter.Name, parameter.Value.ToArray<float>(), "merged." + parameter.Name, "merged");
            }
        }

        Case.Host.Merge([Active], untie: !mergesAlike);
        Assert.That(Case.Logits(), Is.EqualTo(merged), "merging twice");
        Case.Host.Unmerge();
        Assert.That(Case.Logits(Active), Is.EqualTo(attached));
        foreach (Parameter parameter in Case.Model.Parameters)
        {
            Assert.That(parameter.Value.ToArray<float>(), Is.EqualTo(before[parameter.Name]), parameter.Name);
        }
    }
}
