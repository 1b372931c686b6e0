"""The Python side of scripts/compare/exchange.

torch 2.7.1, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2 (scripts/golden/requirements.txt).

  python exchange.py make DIR        bases, rows, and what peft and transformers make of them, with its scores
  python exchange.py commands DIR    the command lines of qlora4j that make and score, words apart by tabs
  python exchange.py judge DIR       scores what qlora4j made, prints the table; ends with 1 where a bound is exceeded
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
from _tiny import NARROW, WIDE, apart_from_itself, load, make_model, read_jsonl, score, scores, write_jsonl  # noqa: E402
import torch  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedTokenizerFast  # noqa: E402

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BASES = {
    "llama": ("llama", WIDE, "float32"),
    "llama-bias": ("llama", NARROW | dict(attention_bias=True, mlp_bias=True), "float32"),
    "llama-bf16": ("llama", WIDE, "bfloat16"),
    "mistral": ("mistral", WIDE | dict(sliding_window=8), "float32"),
    "qwen2-tied": ("qwen2", WIDE | dict(tie_word_embeddings=True), "float32"),
}
# name: (base, how the base is read, LoraConfig's keys); dtype is the adapter's
ADAPTERS = {
    "all linear layers": ("llama", "fp32", {}),
    "bfloat16 adapter": ("llama", "fp32", dict(dtype="bfloat16")),
    "rslora, rank_pattern, alpha_pattern": ("llama", "fp32", dict(
        use_rslora=True, rank_pattern={"q_proj": 2, "down_proj": 6}, alpha_pattern={"v_proj": 16})),
    "modules_to_save": ("llama", "fp32", dict(target_modules=["q_proj"], modules_to_save=["lm_head", "embed_tokens"])),
    "modules_to_save: lm_head, tied": ("qwen2-tied", "fp32", dict(target_modules=["v_proj"], modules_to_save=["lm_head"])),
    "bias: all": ("llama-bias", "fp32", dict(target_modules=["q_proj", "up_proj"], bias="all")),
    "bias: lora_only": ("llama-bias", "fp32", dict(target_modules=["q_proj", "down_proj"], bias="lora_only")),
    "layers_to_transform": ("mistral", "fp32", dict(layers_to_transform=[1])),
    "tied, qwen2": ("qwen2-tied", "fp32", {}),
    "on NF4": ("llama", "nf4-fp32", {}),
    "on NF4 without double quantization": ("llama", "nf4-single-fp32", {}),
    "on FP4": ("llama", "fp4-fp32", {}),
    "on NF4, bfloat16": ("llama-bf16", "nf4-bf16", {}),
}
CHECKPOINTS = {
    "NF4, double quantization": ("llama", "nf4", True), "NF4": ("llama", "nf4", False),
    "FP4, double quantization": ("llama", "fp4", True), "FP4": ("llama", "fp4", False),
    "NF4, double quantization, qwen2": ("qwen2-tied", "nf4", True),
}
FLOAT32 = 1e-4


def slug(name):
    return "".join(c if c.isalnum() else "-" for c in name)


def four_bit(base, kind, double):
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, device_map="cpu", quantization_config=(
        BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_compute_dtype=torch.float32,
                           bnb_4bit_use_double_quant=double)))


def make_tokenizer(directory):
    """A word a token, for a run wants to know its base's end of text."""
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    words = special + [f"w{i}" for i in range(len(special), 96)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.add_special_tokens(special)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
                            pad_token="<pad>").save_pretrained(directory)


def make(work):
    for seed, (name, (family, keys, dtype)) in enumerate(BASES.items(), 101):
        make_tokenizer(make_model(name, family, keys, seed, dtype, under=work))
    g = torch.Generator().manual_seed(5)
    draw = lambda n: torch.randint(4, 96, (n,), generator=g).tolist()
    write_jsonl(work / "train.jsonl", [dict(input_ids=draw(n)) for n in range(8, 32)])
    write_jsonl(work / "rows.jsonl", [dict(input_ids=draw(n)) for n in (2, 9, 31, 60)])
    rows = [r["input_ids"] for r in read_jsonl(work / "rows.jsonl")]
    for name, (base, mode, keys) in ADAPTERS.items():
        keys = dict(keys)
        dtype = keys.pop("dtype", "float32")
        torch.manual_seed(3)
        model = get_peft_model(load(work / base, mode), LoraConfig(
            **(dict(r=4, lora_alpha=8, target_modules=ALL, task_type="CAUSAL_LM") | keys)))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = (parameter.float() + 0.05 * torch.randn(parameter.shape)).to(getattr(torch, dtype))
        out = work / "theirs" / slug(name)
        model.save_pretrained(out, save_embedding_layers=False)
        score(work / f"theirs-{slug(name)}.jsonl",
              lambda: PeftModel.from_pretrained(load(work / base, mode), out).eval(), rows)
        if mode == "fp32":
            PeftModel.from_pretrained(load(work / base, mode), out).merge_and_unload().save_pretrained(out / "merged")
            score(work / f"theirs-merged-{slug(name)}.jsonl", lambda: load(out / "merged"), rows)
    for name, (base, kind, double) in CHECKPOINTS.items():
        out = work / "theirs" / slug(name)
        four_bit(work / base, kind, double).save_pretrained(out)
        score(work / f"theirs-{slug(name)}.jsonl", lambda: loaded(out), rows)


def loaded(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, device_map="cpu").eval()


def base_flags(base, mode):
    flags = ["--model", base, "--dtype", "bfloat16" if "bf16" in mode else "float32"]
    if mode != "fp32":
        flags += ["--load-in-4bit", "--quant-type", mode[:3], "--no-double-quant" if "single" in mode else "--double-quant"]
    return flags


def commands(work):
    def tell(*words):
        print("\t".join(str(word) for word in words))

    def told(output, *words):
        tell("score", *words, "--data", "rows.jsonl", "--output", output + ".jsonl", "--threads", 1)

    (work / "run.yaml").write_text("""
data: {train: train.jsonl, format: tokenized, max_length: 64, cache_dir: cache}
lora: {r: 4, lora_alpha: 8}
training: {max_steps: 6, gradient_accumulation_steps: 1, learning_rate: 2.0e-2, optim: adamw_torch,
           save_strategy: "no", threads: 1}
""", encoding="utf-8")
    for name, (base, mode, keys) in ADAPTERS.items():
        run = "ours/" + slug(name)
        sets = dict(target_modules=ALL, dtype="float32") | keys
        settings = [f"lora.{key}={json.dumps(value, separators=(',', ':'))}" for key, value in sets.items()]
        settings += [f"model.path={base}", "model.dtype=" + ("bfloat16" if "bf16" in mode else "float32"),
                     f"training.output_dir={run}"]
        if mode != "fp32":
            settings += ["quantization.bnb_4bit_quant_type=" + mode[:3],
                         "quantization.bnb_4bit_compute_dtype=" + ("bfloat16" if "bf16" in mode else "float32"),
                         "quantization.bnb_4bit_use_double_quant=" + ("false" if "single" in mode else "true")]
        tell("train", "run.yaml", *[word for setting in settings for word in ("--set", setting)])
        told("ours-" + slug(name), "--adapter", run)
        told("here-" + slug(name), *base_flags(base, mode), "--adapter", "theirs/" + slug(name))
        tell("merge", "--adapter", run, "--output", run + "-merged", "--dtype", "float32")
        told("ours-merged-" + slug(name), "--model", run + "-merged", "--dtype", "float32")
        if mode == "fp32":
            told("here-merged-" + slug(name), "--model", f"theirs/{slug(name)}/merged", "--dtype", "float32")
    for name, (base, kind, double) in CHECKPOINTS.items():
        out = "ours/" + slug(name)
        tell("quantize", "--model", base, "--output", out, "--quant-type", kind, "--compute-dtype", "float32",
             "--double-quant" if double else "--no-double-quant")
        told("ours-" + slug(name), "--model", out)
        told("here-" + slug(name), "--model", "theirs/" + slug(name))


def judge(work):
    rows = [r["input_ids"] for r in read_jsonl(work / "rows.jsonl")]
    beyond = []

    def apart(one, other):
        return max(abs(a - b) for x, y in zip(one, other) for a, b in zip(x["logprobs"], y["logprobs"]))

    def say(*cells):
        print("| " + " | ".join(cells) + " |", flush=True)

    def held(what, gap, bound):
        if not gap <= bound:
            beyond.append(f"{what}: {gap:.1e} is more than {bound:.1e}")
        return f"{gap:.1e}"

    file = lambda name: read_jsonl(work / (name + ".jsonl"))
    say("adapter", "ours in peft", "peft's here", "merged here, in transformers", "merged by peft, here",
        "merged against base + adapter", "bound")
    say(*["---"] * 7)
    for name, (base, mode, keys) in ADAPTERS.items():
        make_it = lambda: PeftModel.from_pretrained(load(work / base, mode), work / "ours" / slug(name)).eval()
        theirs = scores(make_it, rows)
        bound, merged_bound = FLOAT32, FLOAT32
        if "bf16" in mode:
            # the merged model is float32, base + adapter round to bfloat16 at every turn
            itself = apart_from_itself(make_it, rows, theirs)
            bound = 3 * max(way["largest"] for way in itself.values())
            merged_bound = 2 * bound
        merged = scores(lambda: load(work / "ours" / (slug(name) + "-merged")), rows)
        say(name, held(name + ", ours there", apart(file("ours-" + slug(name)), theirs), bound),
            held(name + ", theirs here", apart(file("here-" + slug(name)), file("theirs-" + slug(name))), bound),
            held(name + ", merged there", apart(file("ours-merged-" + slug(name)), merged), FLOAT32),
            held(name + ", theirs merged", apart(file("here-merged-" + slug(name)), file("theirs-merged-" + slug(name))),
                 FLOAT32) if mode == "fp32" else "",
            held(name + ", merged and not", apart(merged, theirs), merged_bound),
            f"{bound:.1e}" + (f", merged {merged_bound:.1e}" if merged_bound != bound else ""))
    print()
    say("4-bit checkpoint", "ours in transformers", "transformers' here",
        "ours in transformers against transformers' own", "bound")
    say(*["---"] * 5)
    for name in CHECKPOINTS:
        there = scores(lambda: loaded(work / "ours" / slug(name)), rows)
        say(name, held(name + ", ours there", apart(file("ours-" + slug(name)), there), FLOAT32),
            held(name + ", theirs here", apart(file("here-" + slug(name)), file("theirs-" + slug(name))), FLOAT32),
            held(name + ", their numbers", apart(there, file("theirs-" + slug(name))), 0.0), f"{FLOAT32:.0e}, last 0")
    if beyond:
        sys.exit("beyond the bound:\n  " + "\n  ".join(beyond))


if __name__ == "__main__":
    dict(make=make, commands=commands, judge=judge)[sys.argv[1]](pathlib.Path(sys.argv[2]))
