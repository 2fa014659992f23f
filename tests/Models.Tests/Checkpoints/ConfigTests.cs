using System.Text.Json.Nodes;
using CsCheck;
using Graft.Models.Architectures;
using Graft.Models.Checkpoints;
using Graft.Runtime;

namespace Graft.Models.Tests.Checkpoints;

[TestFixture]
public sealed class ConfigTests
{
    private const string Llama = """{"model_type":"llama","vocab_size":10,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,"intermediate_size":16}""";
    private const string Qwen2 = """{"model_type":"qwen2","vocab_size":10,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"intermediate_size":16}""";

    private static string With(string json, string changes)
    {
        JsonObject node = JsonNode.Parse(json)!.AsObject();
        foreach ((string key, JsonNode? value) in JsonNode.Parse(changes)!.AsObject())
        {
            node[key] = value?.DeepClone();
        }

        return node.ToJsonString();
    }

    private static LlamaConfig Parse(string json, ICollection<string>? warnings = null) => LlamaConfig.Parse(HuggingFaceConfig.Parse(json, "the/config.json").Root, "the/config.json", warnings);

    [Test]
    public void Absent_keys_take_the_defaults_of_each_family()
    {
        LlamaConfig llama = Parse(Llama);
        Assert.That((llama.NumKeyValueHeads, llama.HeadDim, llama.MaxPositionEmbeddings, llama.RmsNormEps, llama.Rope), Is.EqualTo((2, 4, 2048, 1e-6f, new RopeParameters(10000))));
        Assert.That((llama.TieWordEmbeddings, llama.QkvBias, llama.QkNorm, llama.SlidingWindows[1]), Is.EqualTo((false, false, false, (int?)null)));
        LlamaConfig mistral = Parse(With(Llama, """{"model_type":"mistral","num_key_value_heads":2}"""));
        Assert.That(mistral.SlidingWindows, Is.EqualTo(new ValueList<int?>([4096, 4096])));
        LlamaConfig qwen2 = Parse(Qwen2);
        Assert.That((qwen2.QkvBias, qwen2.OutputBias, qwen2.SlidingWindows[1]), Is.EqualTo((true, false, (int?)null)));
        LlamaConfig qwen3 = Parse(With(Qwen2, """{"model_type":"qwen3"}"""));
        Assert.That((qwen3.QkvBias, qwen3.QkNorm, qwen3.HeadDim), Is.EqualTo((false, true, 128)));
    }

    [Test]
    public void Windows_follow_the_layers_that_have_them()
    {
        Assert.That(Parse(With(Qwen2, """{"use_sliding_window":true,"sliding_window":8,"max_window_layers":1}""")).SlidingWindows, Is.EqualTo(new ValueList<int?>([null, 8])));
        Assert.That(
            Parse(With(Qwen2, """{"use_sliding_window":true,"sliding_window":8,"layer_types":["sliding_attention","full_attention"]}""")).SlidingWindows,
            Is.EqualTo(new ValueList<int?>([8, null])));
        Assert.That(Parse(With(Qwen2, """{"use_sliding_window":false,"sliding_window":8,"max_window_layers":0}""")).SlidingWindows, Is.EqualTo(new ValueList<int?>([null, null])));
        Assert.That(Parse(With(Llama, """{"model_type":"mistral","num_key_value_heads":1,"sliding_window":null}""")).SlidingWindows, Is.EqualTo(new ValueList<int?>([null, null])));
    }

    [TestCase("""{"hidden_act":"quick_gelu"}""", "hidden_act", "quick_gelu")]
    [TestCase("""{"rope_scaling":{"type":"yarn","factor":4.0}}""", "rope_scaling.type", "yarn")]
    [TestCase("""{"rope_scaling":{"rope_type":"longrope","factor":4.0}}""", "rope_scaling.rope_type", "longrope")]
    [TestCase("""{"rope_parameters":{"rope_type":"dynamic","factor":4.0}}""", "rope_parameters.rope_type", "dynamic")]
    [TestCase("""{"rope_parameters":{"rope_type":"default","partial_rotary_factor":0.5}}""", "rope_parameters.partial_rotary_factor", "0.5")]
    [TestCase("""{"rope_parameters":{"rope_theta":5},"rope_theta":6}""", "rope_parameters", "contradicts")]
    [TestCase("""{"rope_scaling":{"type":"linear"}}""", "rope_scaling.factor", "missing")]
    [TestCase("""{"partial_rotary_factor":0.25}""", "partial_rotary_factor", "0.25")]
    [TestCase("""{"quantization_config":{"quant_method":"gptq"}}""", "quantization_config", "gptq")]
    [TestCase("""{"final_logit_softcapping":30.0}""", "final_logit_softcapping", "30.0")]
    [TestCase("""{"pretraining_tp":2}""", "pretraining_tp", "2")]
    [TestCase("""{"sliding_window":4096}""", "sliding_window", "4096")]
    [TestCase("""{"layer_types":["full_attention","sliding_attention"]}""", "layer_types", "window")]
    [TestCase("""{"layer_types":["full_attention","chunked_attention"]}""", "layer_types", "chunked_attention")]
    [TestCase("""{"layer_types":["full_attention"]}""", "layer_types", "2 layers")]
    [TestCase("""{"num_local_experts":8}""", "num_local_experts", "8")]
    [TestCase("""{"hidden_size":"8"}""", "hidden_size", "\"8\"")]
    [TestCase("""{"hidden_size":8.5}""", "hidden_size", "8.5")]
    [TestCase("""{"hidden_size":-8}""", "hidden_size", "-8")]
    [TestCase("""{"hidden_size":99999999999}""", "hidden_size", "99999999999")]
    [TestCase("""{"hidden_size":null}""", "hidden_size", "missing")]
    [TestCase("""{"hidden_size":9}""", "hidden_size", "9")]
    [TestCase("""{"num_key_value_heads":3}""", "num_key_value_heads", "divide")]
    [TestCase("""{"head_dim":7}""", "head_dim", "even")]
    [TestCase("""{"rms_norm_eps":0}""", "rms_norm_eps", "above zero")]
    [TestCase("""{"tie_word_embeddings":"yes"}""", "tie_word_embeddings", "yes")]
    [TestCase("""{"torch_dtype":"float8_e4m3fn"}""", "torch_dtype", "float8_e4m3fn")]
    [TestCase("""{"eos_token_id":[1,"a"]}""", "eos_token_id", "whole number")]
    [TestCase("""{"attention_dropout":1.5}""", "attention_dropout", "1.5")]
    [TestCase("""{"model_type":"mistral","num_key_value_heads":1,"attention_bias":true}""", "attention_bias", "true")]
    [TestCase("""{"model_type":"qwen3","num_key_value_heads":1,"mlp_bias":true}""", "mlp_bias", "true")]
    [TestCase("""{"model_type":"gemma2"}""", "model_type", "gpt2, llama, mistral, qwen2, qwen3")]
    [TestCase("""{"model_type":null}""", "model_type", "missing")]
    [TestCase("""{"model_type":7}""", "model_type", "7")]
    public void A_setting_that_cannot_be_followed_is_refused_by_name(string changes, string key, string says)
    {
        Assert.That(
            () => Parse(With(Llama, changes)),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("the/config.json").And.Message.Contains(key).And.Message.Contains(says));
    }

    [TestCase("[]")]
    [TestCase("{")]
    [TestCase("")]
    [TestCase("{\"model_type\":\"llama\",\"model_type\":\"llama\"}")]
    public void A_file_that_is_no_JSON_object_with_distinct_keys_is_refused(string text)
    {
        Assert.That(() => HuggingFaceConfig.Parse(text, "the/config.json"), Throws.TypeOf<CheckpointException>().With.Message.Contains("the/config.json"));
    }

    [Test]
    public void All_refused_options_are_named_together_and_unknown_keys_are_warned_of()
    {
        Assert.That(
            () => Parse(With(Llama, """{"pretraining_tp":2,"final_logit_softcapping":1,"embedding_multiplier":12}""")),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("pretraining_tp").And.Message.Contains("final_logit_softcapping").And.Message.Contains("embedding_multiplier"));
        List<string> warnings = [];
        _ = Parse(With(Llama, """{"my_own_key":1,"pretraining_tp":1,"use_cache":true,"id2label":{}}"""), warnings);
        Assert.That(warnings, Has.Count.EqualTo(1).And.One.Contains("my_own_key"));
    }

    [Test]
    public void Saving_changes_only_what_changed()
    {
        string original = "{\n   \"model_type\": \"llama\", \"vocab_size\": 10, \"hidden_size\": 8, \"num_hidden_layers\": 2, \"num_attention_heads\": 2,\n \"intermediate_size\": 16, \"rope_theta\": 5e5, \"torch_dtype\": \"bfloat16\", \"mine\": {\"a\": [1, 2]}}";
        LlamaConfig config = Parse(original);
        Assert.That(config.Write(original), Is.EqualTo(original));
        Assert.That(Parse((config with { VocabSize = 11 }).Write("\uFEFF" + original)).VocabSize, Is.EqualTo(11), "a byte order mark does not matter");
        string changed = (config with { VocabSize = 11, DType = DType.F32 }).Write(original);
        JsonObject json = JsonNode.Parse(changed)!.AsObject();
        Assert.That((int)json["vocab_size"]!, Is.EqualTo(11));
        Assert.That((string)json["dtype"]!, Is.EqualTo("float32"));
        Assert.That(json.ContainsKey("torch_dtype"), Is.False);
        Assert.That((double)json["rope_theta"]!, Is.EqualTo(5e5));
        Assert.That(json["mine"]!.ToJsonString(), Is.EqualTo("{\"a\":[1,2]}"));
        Assert.That(json, Has.Count.EqualTo(9));
        LlamaConfig stretched = config with { Rope = config.Rope with { Type = RopeType.Llama3, Factor = 8, HighFrequencyFactor = 4, OriginalMaxPositions = 1024 } };
        Assert.That(Parse(stretched.Write(original)), Is.EqualTo(stretched));
    }

    [TestCase("""{"scale_attn_by_inverse_layer_idx":true}""", "scale_attn_by_inverse_layer_idx")]
    [TestCase("""{"reorder_and_upcast_attn":true}""", "reorder_and_upcast_attn")]
    [TestCase("""{"add_cross_attention":true}""", "add_cross_attention")]
    [TestCase("""{"activation_function":"mish"}""", "activation_function")]
    [TestCase("""{"n_embd":10,"n_head":3}""", "n_embd")]
    public void GPT2_options_that_are_not_implemented_are_refused_by_name(string changes, string key)
    {
        Assert.That(
            () => Gpt2Config.Parse(HuggingFaceConfig.Parse(With("""{"model_type":"gpt2"}""", changes), "f").Root, "f"),
            Throws.TypeOf<CheckpointException>().With.Message.Contains(key));
    }

    [Test]
    public void GPT2_defaults_are_those_of_the_small_model()
    {
        Gpt2Config config = Gpt2Config.Parse(HuggingFaceConfig.Parse("""{"model_type":"gpt2","n_ctx":1024}""", "f").Root, "f");
        Assert.That((config.VocabSize, config.HiddenSize, config.NumHiddenLayers, config.NumAttentionHeads, config.IntermediateSize), Is.EqualTo((50257, 768, 12, 12, 3072)));
        Assert.That((config.MaxPositionEmbeddings, config.LayerNormEpsilon, config.ActivationFunction, config.TieWordEmbeddings), Is.EqualTo((1024, 1e-5f, "gelu_new", true)));
        Assert.That(config.EosTokenIds, Is.EqualTo(new ValueList<int>([50256])));
    }

    [Test]
    public void Any_bytes_are_parsed_or_refused_as_a_checkpoint_error()
    {
        string good = With(Llama, """{"rope_scaling":{"type":"linear","factor":2},"eos_token_id":[1,2],"torch_dtype":"float16","layer_types":["full_attention","full_attention"]}""");
        int refused = 0;
        Gen.Select(Gen.Int[0, good.Length - 1], Gen.Char["{}[]\":,0123456789-.eEtfn\\u\ud800x"], Gen.Int[0, good.Length - 1], Gen.Char.AlphaNumeric).Sample(
            (i, a, j, b) =>
            {
                char[] text = good.ToCharArray();
                text[i] = a;
                text[j] = i % 2 == 0 ? b : text[j];
                try
                {
                    LlamaConfig config = Parse(new string(text));
                    _ = config.Write(new string(text));
                }
                catch (CheckpointException)
                {
                    refused++;
                }
            },
            iter: 3000,
            threads: 1);
        Assert.That(refused, Is.GreaterThan(100));
    }
}
