"""The Python side of scripts/compare/readers.

GPTQModel 7.7.0, optimum 2.3.0, transformers 5.23.0, torch 2.15.0 (readers-requirements.txt), on a CPU.

GPTQModel keeps scales and biases in float16 and rounds each weight to it; ours rounds to the dtype of the products alone.
So each directory is scored twice there: as it is, and with weights that its own code works out from scales in float32 and
biases as they are stored, which is where the numbers must be equal.

  python readers.py make DIR        bases, texts and rows
  python readers.py commands DIR    the command lines of qlora4j, words apart by tabs
  python readers.py judge DIR       scores what qlora4j made, prints the table; ends with 1 where a bound is exceeded
"""
import json
import os
import pathlib
import subprocess
import sys

# GPTQModel compiles its CPU kernel for minutes, and its products by torch.compile: the plain ones are what is wanted
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))
from _tiny import WIDE, make_model, read_jsonl, scores, write_jsonl  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM, AwqConfig, GPTQConfig  # noqa: E402

BASES = {"llama": ("llama", WIDE), "qwen2-tied": ("qwen2", WIDE | dict(tie_word_embeddings=True))}
GPTQ = ["--method", "gptq", "--group-size", "32"]
CASES = {
    "GPTQ, 4 bits": ("llama", GPTQ),
    "GPTQ, 4 bits, act-order": ("llama", [*GPTQ, "--desc-act"]),
    "GPTQ, 4 bits, not symmetric (gptq_v2)": ("llama", [*GPTQ, "--no-sym"]),
    "GPTQ, 2 bits": ("llama", [*GPTQ, "--bits", "2"]),
    "GPTQ, 3 bits": ("llama", [*GPTQ, "--bits", "3"]),
    "GPTQ, 8 bits": ("llama", [*GPTQ, "--bits", "8"]),
    "GPTQ, 4 bits, one group a row": ("llama", ["--method", "gptq", "--group-size", "-1"]),
    "GPTQ, 4 bits, qwen2, tied": ("qwen2-tied", GPTQ),
    "AWQ": ("llama", ["--method", "awq", "--group-size", "32"]),
    "AWQ, qwen2, tied": ("qwen2-tied", ["--method", "awq", "--group-size", "32"]),
}
# float32 sums in another order
EXACT = 1e-4


def slug(name):
    return "".join(c if c.isalnum() else "-" for c in name)


def make(work):
    for seed, (name, (family, keys)) in enumerate(BASES.items(), 201):
        make_model(name, family, keys, seed, "float32", under=work)
    g = torch.Generator().manual_seed(6)
    draw = lambda n: torch.randint(4, 128, (n,), generator=g).tolist()
    write_jsonl(work / "texts.jsonl", [dict(input_ids=draw(48)) for _ in range(24)])
    write_jsonl(work / "rows.jsonl", [dict(input_ids=draw(n)) for n in (2, 9, 31, 60)])


def commands(work):
    for name, (base, flags) in CASES.items():
        out = "ours/" + slug(name)
        for words in (["quantize", "--model", base, "--output", out, *flags, "--calibration", "texts.jsonl"],
                      ["score", "--model", out, "--dtype", "float32", "--data", "rows.jsonl", "--output",
                       f"ours-{slug(name)}.jsonl", "--threads", "1"]):
            print("\t".join(words))


def read(directory):
    settings = json.loads((directory / "config.json").read_text())["quantization_config"]
    config = (GPTQConfig(bits=settings["bits"], backend="torch") if settings["quant_method"] == "gptq"
              else AwqConfig(backend="torch_awq"))
    return AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, device_map="cpu", quantization_config=config).eval()


def exact(directory):
    """The model with dense float32 weights, worked out by GPTQModel's own code, and biases from the file."""
    from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm
    model = read(directory)
    stored = load_file(directory / "model.safetensors")
    for name, layer in list(model.named_modules()):
        if not hasattr(layer, "qweight"):
            continue
        layer.scales = layer.scales.float()
        weight = (layer.dequantize_weight() if hasattr(layer, "g_idx") else
                  dequantize_gemm(layer.qweight, layer.qzeros, layer.scales, layer.bits, layer.group_size))
        dense = torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        dense.weight.data = weight.float().t().contiguous()
        if layer.bias is not None:
            dense.bias.data = stored[name + ".bias"].float()
        model.set_submodule(name, dense)
    return model


def footprint(model):
    """get_memory_footprint without the kernel's own tables of shifts, and with biases in float32, as they are stored."""
    tables = sum(b.numel() * b.element_size() for name, b in model.named_buffers() if "wf_unsqueeze" in name)
    biases = sum(layer.bias.numel() * (4 - layer.bias.element_size()) for layer in model.modules()
                 if hasattr(layer, "qweight") and layer.bias is not None)
    return model.get_memory_footprint() - tables + biases


def ours(directory):
    """The footprint that qlora4j shows; scales in it are as stored, and what is not quantized in float32 like here."""
    shown = subprocess.run([HERE.parent / "qlora", "inspect", directory, "--json"], check=True, capture_output=True)
    return json.loads(shown.stdout)["footprint_bytes"]


def judge(work):
    rows = [r["input_ids"] for r in read_jsonl(work / "rows.jsonl")]
    apart = lambda one, other: max(
        abs(a - b) for x, y in zip(one, other) for a, b in zip(x["logprobs"], y["logprobs"]))
    beyond = []
    print("| made here | read there, weights in float16 | weights in float32 | bound | footprint there, here |")
    print("| --- | --- | --- | --- | --- |")
    for name in CASES:
        directory = work / "ours" / slug(name)
        here = read_jsonl(work / f"ours-{slug(name)}.jsonl")
        model = read(directory)
        size, size_here = footprint(model), ours(directory)
        rounded = apart(here, scores(lambda: model, rows))
        gap = apart(here, scores(lambda: exact(directory), rows))
        if not gap <= EXACT:
            beyond.append(f"{name}: {gap:.1e} is more than {EXACT:.1e}")
        if size != size_here:
            beyond.append(f"{name}: footprint {size} there, {size_here} here")
        print(f"| {name} | {rounded:.1e} | {gap:.1e} | {EXACT:.0e} | {size:,}, {size_here:,} |", flush=True)
    if beyond:
        sys.exit("beyond the bound:\n  " + "\n  ".join(beyond))


if __name__ == "__main__":
    dict(make=make, commands=commands, judge=judge)[sys.argv[1]](pathlib.Path(sys.argv[2]))
