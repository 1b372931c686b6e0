"""Tokens and labels of tricky rows, as Python has them: what trainer.tokenizer and trainer.data must equal.

Made with transformers 5.23.0, tokenizers 0.23.3, Python 3.11. Remake with

  python scripts/golden/tokens.py

which trains two small tokenizers on text made here (one as Llama-2's, BPE with byte fallback, one as Llama-3's and
Qwen's, byte-level BPE) and writes them, and the ids and labels of each row, under trainer/src/test/resources/golden/tokens.
"""
import json
import pathlib
import random

import tokenizers
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

OUT = pathlib.Path(__file__).resolve().parents[2] / "trainer/src/test/resources/golden/tokens"
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
MASKED = -100


def texts():
    draw = random.Random(1)
    who = ["the teacher", "a small dog", "my neighbour", "the river", "an old clock", "the cook", "their garden"]
    does = ["writes", "keeps", "finds", "carries", "describes", "counts", "paints", "repairs"]
    what = ["seven letters", "the blue door", "a list of names", "two questions", "the answer", "bread and salt"]
    zh = ["老师写信", "小狗找门", "河流带来问题", "请列出名字", "回答这个问题", "花园里有门"]
    for _ in range(400):
        yield f"{draw.choice(who)} {draw.choice(does)} {draw.choice(what)}, and {draw.choice(who)} {draw.choice(does)} it."
        yield f"Human: {draw.choice(does)} {draw.choice(what)}?\n\nAssistant: {draw.choice(what)}."
        yield f"### Instruction:\n{draw.choice(does)}\n\n### Response:\nBelow is an instruction that describes a task."
        yield draw.choice(zh) + "，" + draw.choice(zh) + "。"


def train(kind, vocab):
    if kind == "spm":
        tok = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        words = (t.replace(" ", "▁") for t in texts())
        tok.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
        tok.train_from_iterator(words, trainers.BpeTrainer(
            vocab_size=vocab, special_tokens=SPECIAL + [f"<0x{b:02X}>" for b in range(256)], max_token_length=12,
            show_progress=False))
        tok.pre_tokenizer = None
        tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tok.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        state = json.loads(tok.to_str())
        state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in SPECIAL]
        tok = Tokenizer.from_str(json.dumps(state))
    else:
        tok = Tokenizer(models.BPE())
        tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tok.decoder = decoders.ByteLevel()
        tok.train_from_iterator(texts(), trainers.BpeTrainer(
            vocab_size=vocab, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
        # as Llama-3 and Qwen: special tokens behind the vocabulary, and one behind them that is not special
        tok.add_special_tokens(SPECIAL + ["<|im_end|>"])
        tok.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
        tok.add_special_tokens(["<|last|>"])
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tok.token_to_id("<s>"))])
    return PreTrainedTokenizerFast(
        tokenizer_object=tok, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


def human_assistant(row):
    return "\n".join(["Human: " + row["instruction"], row.get("input") or ""]).strip() + "\n\nAssistant: "


def alpaca(row):  # PROMPT_DICT of tatsu-lab/stanford_alpaca's train.py
    if row.get("input", "") != "":
        return (
            "Below is an instruction that describes a task, paired with an input that provides further context. "
            "Write a response that appropriately completes the request.\n\n"
            "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:").format_map(row)
    return (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\n{instruction}\n\n### Response:").format_map(row)


def encode(tok, template, row, max_length, bos, train_on_prompt):
    head = [tok.bos_token_id] if bos else []
    for question, answer in row.get("history") or []:
        head += tok(template(dict(instruction=question, input="")), add_special_tokens=False).input_ids
        head += tok(answer, add_special_tokens=False).input_ids + [tok.eos_token_id]
    head += tok(template(row), add_special_tokens=False).input_ids
    answer = tok(row["output"], add_special_tokens=False).input_ids + [tok.eos_token_id]
    labels = (head if train_on_prompt else [MASKED] * len(head)) + answer
    return (head + answer)[:max_length], labels[:max_length]


def rows():
    spaces = "".join(map(chr, [9, 10, 11, 12, 13, 0x1C, 0x1D, 0x1E, 0x1F, 32, 0x85, 0xA0, 0x1680, 0x2000, 0x2003, 0x200A,
                               0x2028, 0x2029, 0x202F, 0x205F, 0x3000]))
    plain = "The cook counts bread and salt."
    yield dict(instruction="the teacher writes seven letters", input="", output=plain)
    yield dict(instruction="describe it", input="the blue door", output="A door.")
    yield dict(instruction="  leading and trailing  ", input="  both \n", output="  kept as it is \n\n")
    for c in spaces + "\u200b\ufeff\u180e":  # the last three are not space to Python
        yield dict(instruction=c + "x" + c, input=c + "y" + c, output=c + "z" + c)
    yield dict(instruction="x", input=spaces, output="")
    yield dict(instruction="", input="only an input", output="yes")
    yield dict(instruction="请列出名字", input="花园里有门", output="老师、小狗。")
    yield dict(instruction="rare 龘𠀀 and 🙂👩‍👩‍👧 é e\u0301", input="\U0001F600" * 5, output="🇫🇷 done 🙂")
    yield dict(instruction="specials </s> in <s>text", input="<pad><unk> <|im_end|>a<tool>b<|last|>c", output="</s>")
    yield dict(instruction="tabs\tand\u0000nul\u0007", input="\r\nlines\r", output="a\r\nb")
    yield dict(instruction="braces {input} {{x}}", input="{output}", output="{instruction}")
    yield dict(instruction="the third", input="", output="three",
               history=[["the first", "one"], ["the second", " two "]])
    yield dict(instruction="long " * 200, input="", output="never seen")
    yield dict(instruction="q", input="", output="the answer is cut " * 100)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for kind, vocab in (("spm", 700), ("bytelevel", 500)):
        where = OUT / kind
        train(kind, vocab).save_pretrained(where)
        tok = AutoTokenizer.from_pretrained(where)
        state = json.loads((where / "tokenizer.json").read_text(encoding="utf-8"))
        (where / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
        lines = []
        for row in rows():
            for template in (human_assistant, alpaca):
                for max_length, bos, learn in ((100_000, False, False), (96, True, False), (24, False, True)):
                    ids, labels = encode(tok, template, row, max_length, bos, learn)
                    lines.append(dict(row=row, template=template.__name__, max_length=max_length, add_bos=bos,
                                      train_on_prompt=learn, input_ids=ids, labels=labels))
        write(where / "rows.jsonl", lines)
        lines = []
        for text in sorted({v for row in rows() for k, v in row.items() if k != "history"} | {" ", "", "▁", "a▁b"}):
            ids = tok(text, add_special_tokens=False).input_ids
            lines.append(dict(
                text=text, ids=ids, with_special=tok(text).input_ids,
                ordinary=tok(text, add_special_tokens=False, split_special_tokens=True).input_ids,
                decoded=tok.decode(ids), decoded_skip=tok.decode(ids, skip_special_tokens=True)))
        write(where / "texts.jsonl", lines)
    print("transformers", transformers.__version__, "tokenizers", tokenizers.__version__)


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


main()
