"""The Python side of scripts/compare/perplexity.

torch 2.7.1, transformers 5.23.0, auto-gptq 0.7.1, autoawq 0.2.9 (scripts/golden/requirements.txt).

  python perplexity.py make DIR        rows, and what the originals make of the model: dense, of the weights that are left
  python perplexity.py commands DIR    the command lines of qlora4j that quantize and score, words apart by tabs
  python perplexity.py judge DIR       the table; ends with 1 where a bound is exceeded
"""
import math
import pathlib
import random
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))
from _tiny import read_jsonl, write_jsonl  # noqa: E402
import torch  # noqa: E402
from calibrated import awq, gptq  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from transformers import LlamaForCausalLM  # noqa: E402

MODEL = HERE.parents[1] / "examples" / "quickstart" / "model"
GROUP, LENGTH, CALIBRATION, SCORED = 64, 128, 32, 128
# name: (what the originals make, the flags of quantize)
CASES = {
    "GPTQ, 4 bits": (lambda model, rows: gptq(model, rows, 4, True, False, GROUP), ["gptq"]),
    "GPTQ, 4 bits, act-order": (lambda model, rows: gptq(model, rows, 4, True, True, GROUP), ["gptq", "--desc-act"]),
    "GPTQ, 4 bits, not symmetric": (lambda model, rows: gptq(model, rows, 4, False, False, GROUP), ["gptq", "--no-sym"]),
    "GPTQ, 3 bits": (lambda model, rows: gptq(model, rows, 3, True, False, GROUP), ["gptq", "--bits", "3"]),
    "AWQ, 4 bits": (lambda model, rows: awq(model, rows, GROUP), ["awq"]),
}
# above the originals' perplexity: a code that rounds the other way changes what the next layers are solved for
BOUND = 0.01


def slug(name):
    return "".join(c if c.isalnum() else "-" for c in name)


def make(work):
    lines = (work / "text.txt").read_text(encoding="utf-8").splitlines()
    random.Random(1).shuffle(lines)
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    ids = [i for line in lines for i in tokenizer.encode(line).ids]
    rows = [ids[at:at + LENGTH] for at in range(0, len(ids) - LENGTH, LENGTH)]
    seen, scored = rows[:CALIBRATION], rows[CALIBRATION:CALIBRATION + SCORED]
    write_jsonl(work / "texts.jsonl", [dict(input_ids=row) for row in seen])
    write_jsonl(work / "rows.jsonl", [dict(input_ids=row) for row in scored])
    for name, (quantized, _) in CASES.items():
        out = work / "theirs" / slug(name)
        model = LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
        quantized(model, torch.tensor(seen)).save_pretrained(out)
        for file in MODEL.glob("tokenizer*"):
            shutil.copy(file, out)


def commands(work):
    def tell(*words):
        print("\t".join(str(word) for word in words))

    def told(name, model, *flags):
        tell("score", "--model", model, "--dtype", "float32", *flags, "--data", "rows.jsonl", "--output", name + ".jsonl")

    told("dense", MODEL)
    told("nf4", MODEL, "--load-in-4bit", "--no-double-quant")
    for name, (_, flags) in CASES.items():
        tell("quantize", "--model", MODEL, "--output", "ours/" + slug(name), "--method", *flags, "--group-size", GROUP,
             "--calibration", "texts.jsonl", "--calibration-length", LENGTH)
        told("ours-" + slug(name), "ours/" + slug(name))
        told("theirs-" + slug(name), "theirs/" + slug(name))


def judge(work):
    def perplexity(name):
        logprobs = [value for row in read_jsonl(work / (name + ".jsonl")) for value in row["logprobs"]]
        return math.exp(-sum(logprobs) / len(logprobs))

    beyond = []
    print("| | the originals | here | here over there |")
    print("| --- | --- | --- | --- |")
    print(f"| not quantized | {perplexity('dense'):.4f} | | |")
    print(f"| NF4, blocks of 64, for comparison | | {perplexity('nf4'):.4f} | |")
    for name in CASES:
        there, here = perplexity("theirs-" + slug(name)), perplexity("ours-" + slug(name))
        print(f"| {name}, groups of {GROUP} | {there:.4f} | {here:.4f} | {100 * (here / there - 1):+.2f} % |")
        if not here <= there * (1 + BOUND):
            beyond.append(f"{name}: {here:.4f} is more than {100 * BOUND:.0f} % above {there:.4f}")
    if beyond:
        sys.exit("beyond the bound:\n  " + "\n  ".join(beyond))


if __name__ == "__main__":
    dict(make=make, commands=commands, judge=judge)[sys.argv[1]](pathlib.Path(sys.argv[2]))
