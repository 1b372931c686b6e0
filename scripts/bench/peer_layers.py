"""The Python side of scripts/bench/schemes: bitsandbytes' layers alone, and LoRA steps on an int8 base; prints JSON.

bitsandbytes 0.50.2, transformers 5.23.0, peft 0.21.2, torch 2.7.1 (scripts/golden/requirements.txt).

  python peer_layers.py layers --shapes 2048x2048,... --rows 1,32,... --seconds S
  python peer_layers.py int8 MODEL ROWS --steps N --batch N        r 8 on all linear layers, checkpointed
  python peer_layers.py calibrated MODEL TEXTS --method gptq|awq   auto-gptq's solver or autoawq's quantizer, groups of 128
"""
import argparse
import json
import logging
import os
import pathlib
import statistics
import sys
import time
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)  # "inputs will be cast from bfloat16 to float16", at every call


def seconds(least, call, prepare=lambda: None):
    """The median of at least five calls that take `least` seconds together, after two that do not count."""
    taken = []
    while len(taken) < 7 or sum(taken[2:]) < least:
        given = prepare()
        start = time.perf_counter()
        call(given)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[2:])


def layer(scheme, weight):
    import bitsandbytes as bnb
    import torch
    if scheme == "int8":
        made = bnb.nn.Linear8bitLt(weight.shape[1], weight.shape[0], bias=False, has_fp16_weights=False, threshold=6.0)
        made.weight = bnb.nn.Int8Params(weight.to(torch.float16), requires_grad=False, has_fp16_weights=False)
    else:
        made = bnb.nn.Linear4bit(weight.shape[1], weight.shape[0], bias=False, compute_dtype=torch.bfloat16,
                                 quant_type=scheme)
        made.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type=scheme, compress_statistics=True)
    return made.to("cpu")


def layers(a):
    import bitsandbytes.functional as F
    import torch
    torch.manual_seed(0)
    found = {}
    for shape in a.shapes.split(","):
        out, inside = map(int, shape.split("x"))
        weight = (torch.randn(out, inside) * 0.02).bfloat16()
        found[f"quantize nf4 {shape}"] = seconds(
            a.seconds, lambda _: F.quantize_4bit(weight, quant_type="nf4", compress_statistics=True))
        found[f"quantize int8 {shape}"] = seconds(a.seconds, lambda _: F.int8_vectorwise_quant(weight.to(torch.float16)))
        for scheme in ("nf4", "int8"):
            training = layer(scheme, weight.clone()).train()
            inference = layer(scheme, weight.clone()).eval()
            for rows in map(int, a.rows.split(",")):
                x = torch.randn(rows, inside)
                x[:, :4] *= 8  # columns with outliers, as models have them
                x = x.bfloat16()
                gradient = torch.randn(rows, out).bfloat16()
                traced = x.clone().requires_grad_()
                key = f"{scheme} {shape} {rows}"
                found["forward " + key] = seconds(a.seconds, lambda _: training(traced))
                found["backward " + key] = seconds(
                    a.seconds, lambda y: torch.autograd.grad(y, traced, gradient), lambda: training(traced))
                with torch.no_grad():
                    found["inference " + key] = seconds(a.seconds, lambda _: inference(x))
    print(json.dumps(found))


def int8(a):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(
        a.model, dtype=torch.bfloat16, device_map="cpu", quantization_config=BitsAndBytesConfig(load_in_8bit=True))
    model.config.use_cache = False
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    trained = [w for w in model.parameters() if w.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0)
    rows = [json.loads(line)["input_ids"] for line in pathlib.Path(a.data).read_text(encoding="utf-8").splitlines()]
    model.train()
    steps = []
    for step in range(a.steps):
        ids = torch.tensor([rows[(step * a.batch + i) % len(rows)] for i in range(a.batch)])
        start = time.perf_counter()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        steps.append(ids.numel() / (time.perf_counter() - start))
    print(json.dumps(dict(tokens_per_second=steps)))


def calibrated(a):
    """As scripts/golden/calibrated.py leads a model through them; reading it before and packing it after are left out."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
    import calibrated as golden
    import torch
    from transformers import AutoModelForCausalLM
    texts = torch.tensor([json.loads(line)["input_ids"] for line in pathlib.Path(a.data).read_text(encoding="utf-8").splitlines()])
    model = AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32).eval()
    start = time.perf_counter()
    if a.method == "gptq":
        golden.gptq(model, texts, 4, True, False, 128)
    else:
        golden.awq(model, texts, 128)
    print(json.dumps(dict(seconds=time.perf_counter() - start)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("layers")
    verb.add_argument("--shapes", required=True)
    verb.add_argument("--rows", required=True)
    verb.add_argument("--seconds", type=float, required=True)
    verb = verbs.add_parser("int8")
    verb.add_argument("model")
    verb.add_argument("data")
    verb.add_argument("--steps", type=int, required=True)
    verb.add_argument("--batch", type=int, required=True)
    verb = verbs.add_parser("calibrated")
    verb.add_argument("model")
    verb.add_argument("data")
    verb.add_argument("--method", choices=["gptq", "awq"], required=True)
    a = parser.parse_args()
    dict(layers=layers, int8=int8, calibrated=calibrated)[a.verb](a)


main()
