using Graft.Runtime;
using Graft.Training.Data;

namespace Graft.Training.Tests.Data;

public sealed class SampleFramerTests
{
    private const string Chat = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n{completion}<|im_end|>";

    [Test]
    public void A_chat_turn_has_loss_on_the_completion_and_its_end_only()
    {
        (int[] ids, byte[] mask) = Frame(new PromptSample("hi you", "fine"), new() { PromptFormat = Chat, AppendEos = true },
            new LetterEncoder { EosToken = LetterEncoder.ImEnd });
        int[] head = [LetterEncoder.ImStart, .. LetterEncoder.Tokens("user\nhi you"), LetterEncoder.ImEnd, .. LetterEncoder.Tokens("\n"),
            LetterEncoder.ImStart, .. LetterEncoder.Tokens("assistant\n")];
        int[] tail = [.. LetterEncoder.Tokens("fine"), LetterEncoder.ImEnd];
        Assert.That(ids, Is.EqualTo((int[])[.. head, .. tail]));
        Assert.That(mask, Is.EqualTo((byte[])[.. head.Select(_ => (byte)0), .. tail.Select(_ => (byte)1)]));
    }

    [Test]
    public void Literal_and_data_are_encoded_in_one_piece_but_cut_where_loss_begins()
    {
        (int[] ids, byte[] mask) = Frame(new PromptSample("b", "cd"), new() { PromptFormat = "a{prompt}{completion}", AppendEos = false });
        Assert.That(ids, Is.EqualTo((int[])[.. LetterEncoder.Tokens("ab"), .. LetterEncoder.Tokens("cd")]));
        Assert.That(mask, Is.EqualTo(new byte[] { 0, 1 }));
        (ids, _) = Frame(new PromptSample("b", "cd"), new() { PromptFormat = "{prompt}{completion}", AppendEos = false });
        Assert.That(ids, Is.EqualTo((int[])[.. LetterEncoder.Tokens("b"), .. LetterEncoder.Tokens("cd")]),
            "prompt and completion must not share the token 'bc'");
    }

    [Test]
    public void A_tokenizer_that_marks_the_start_of_a_text_does_so_once_a_piece()
    {
        LetterEncoder encoder = new() { Prefix = 77 };
        (int[] ids, byte[] mask) = Frame(new PromptSample("ab", "cd"), new() { AppendEos = false }, encoder);
        Assert.That(ids, Is.EqualTo((int[])[77, .. LetterEncoder.Tokens("ab"), .. LetterEncoder.Tokens("cd")]));
        Assert.That(mask, Is.EqualTo(new byte[] { 0, 0, 1 }));
        (ids, _) = Frame(new PromptSample("ab", "cd"), new() { AppendEos = false, PromptFormat = "{prompt}<s>{completion}" }, encoder);
        Assert.That(ids, Is.EqualTo((int[])[77, .. LetterEncoder.Tokens("ab"), LetterEncoder.Bos, 77, .. LetterEncoder.Tokens("cd")]));
    }

    [Test]
    public void Data_cannot_inject_special_tokens_unless_allowed()
    {
        PromptSample sample = new("x<|im_end|>", "<s>");
        (int[] ids, _) = Frame(sample, new() { AppendEos = false });
        Assert.That(ids, Is.EqualTo((int[])[.. LetterEncoder.Tokens("x<|im_end|>"), .. LetterEncoder.Tokens("<s>")]));
        (ids, _) = Frame(sample, new() { AppendEos = false, AllowSpecialTokens = true });
        Assert.That(ids, Is.EqualTo((int[])[.. LetterEncoder.Tokens("x"), LetterEncoder.ImEnd, LetterEncoder.Bos]));
        (ids, _) = Frame(new PromptSample("end|>", "y"), new() { PromptFormat = "<|im_{prompt}{completion}", AppendEos = false });
        Assert.That(ids, Does.Not.Contain(LetterEncoder.ImEnd), "half of a special token in the format and half in the data");
    }

    [Test]
    public void Begin_and_end_tokens_are_added_once()
    {
        FramingOptions options = new() { AddBos = true, AppendEos = true };
        (int[] ids, byte[] mask) = Frame(new TextSample("ab"), options);
        Assert.That(ids, Is.EqualTo((int[])[LetterEncoder.Bos, .. LetterEncoder.Tokens("ab"), LetterEncoder.Eos]));
        Assert.That(mask, Is.EqualTo(new byte[] { 0, 1, 1 }));
        (ids, mask) = Frame(new PromptSample("p", "c"), options with { PromptFormat = "<s>{prompt}{completion}</s>" });
        Assert.That(ids, Is.EqualTo((int[])[LetterEncoder.Bos, .. LetterEncoder.Tokens("p"), .. LetterEncoder.Tokens("c"), LetterEncoder.Eos]));
        Assert.That(mask, Is.EqualTo(new byte[] { 0, 0, 1, 1 }));
    }

    [Test]
    public void An_empty_completion_still_learns_to_stop()
    {
        (int[] ids, byte[] mask) = Frame(new PromptSample("p</s>", ""), new() { AllowSpecialTokens = true });
        Assert.That(ids, Is.EqualTo((int[])[.. LetterEncoder.Tokens("p"), LetterEncoder.Eos, LetterEncoder.Eos]),
            "the end token of the prompt is not that of the completion");
        Assert.That(mask, Is.EqualTo(new byte[] { 0, 0, 1 }));
    }

    [Test]
    public void Truncation_takes_the_prompt_before_the_completion_and_keeps_the_begin_token()
    {
        FramingOptions options = new() { AddBos = true, MaxLength = 5 };
        (int[] ids, byte[] mask) = Frame(new PromptSample("!?.,;", "+-"), options);
        Assert.That(ids, Is.EqualTo((int[])[LetterEncoder.Bos, .. LetterEncoder.Tokens(";+-"), LetterEncoder.Eos]));
        Assert.That(mask, Is.EqualTo(new byte[] { 0, 0, 1, 1, 1 }));
        (ids, mask) = Frame(new PromptSample("!?.,;", "+-*/=<>"), options);
        Assert.That(ids, Is.EqualTo((int[])[LetterEncoder.Bos, .. LetterEncoder.Tokens("+-*/")]));
        Assert.That(mask, Is.EqualTo(new byte[] { 0, 1, 1, 1, 1 }));
    }

    [Test]
    public void The_prompt_of_a_generation_is_the_format_up_to_the_completion()
    {
        FramingOptions options = new() { PromptFormat = Chat, AddBos = true };
        (int[] ids, byte[] mask) = Frame(new PromptSample("hi", "x"), options);
        Assert.That(new SampleFramer(new LetterEncoder(), options).EncodePrompt("hi"), Is.EqualTo(ids.Where((_, i) => mask[i] == 0)));
    }

    [TestCase("{prompt}", "{completion} must occur once")]
    [TestCase("{prompt}{completion}{completion}", "they occur 2 and 1 times")]
    [TestCase("{completion}{prompt}", "must come before")]
    [TestCase("{promt}{completion}", "there is no place {promt}")]
    [TestCase("{completion", "no partner")]
    [TestCase("}{completion}", "no partner")]
    public void A_broken_format_is_refused(string format, string message)
    {
        Assert.That(() => PromptFormat.Parse(format), Throws.TypeOf<ConfigurationException>().With.Message.Contains(message).And.Message.Contains(format));
    }

    [Test]
    public void Double_braces_stand_for_single_ones()
    {
        (int[] ids, _) = Frame(new PromptSample("p", "c"), new() { PromptFormat = "{{}}{prompt}{completion}", AppendEos = false });
        Assert.That(ids, Is.EqualTo((int[])[.. LetterEncoder.Tokens("{}p"), .. LetterEncoder.Tokens("c")]));
    }

    [Test]
    public void A_token_that_the_tokenizer_lacks_is_a_configuration_error()
    {
        Assert.That(() => new SampleFramer(new LetterEncoder { EosToken = null }, new()), Throws.TypeOf<ConfigurationException>()
            .With.Message.Contains("no end-of-sequence token"));
        Assert.That(() => new SampleFramer(new LetterEncoder { BosToken = null }, new() { AddBos = true }), Throws.TypeOf<ConfigurationException>()
            .With.Message.Contains("no begin-of-sequence token"));
    }

    private static (int[] Ids, byte[] Mask) Frame(DataSample sample, FramingOptions options, LetterEncoder? encoder = null)
    {
        List<int> ids = [99];
        List<byte> mask = [99];
        new SampleFramer(encoder ?? new LetterEncoder(), options).Frame(sample, ids, mask);
        return ([.. ids], [.. mask]);
    }
}
