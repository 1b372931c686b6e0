"""Device maps as accelerate infers them: which module of a decoder lies on which GPU, in memory, or on the disk.

Made with torch 2.7.1, transformers 5.23.0, accelerate 1.15.0, on torch's meta device (no memory is taken, and no GPU needed):
  python placement.py [FILE [CASES SEED]]     CASES random ones in place of the committed ones
"""
import json
import pathlib
import random
import sys

import torch
from accelerate import infer_auto_device_map
from accelerate.utils import CustomDtype, get_balanced_memory
from accelerate.utils.modeling import compute_module_sizes
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations import accelerate as copied
from transformers.utils import logging

from _shapes import LLAMA2_7B, MISTRAL_7B, PEERS_168M, QWEN2_HALF_B, TINY

logging.set_verbosity_error()

MODELS = {
    "tiny": TINY,
    "tiny tied": dict(TINY, tie_word_embeddings=True),
    "tiny biases": dict(TINY, attention_bias=True, mlp_bias=True),
    "tiny qwen2": dict(TINY, model_type="qwen2"),
    "168M": PEERS_168M,
    "qwen2-0.5b": QWEN2_HALF_B,
    "mistral-7b": MISTRAL_7B,
    "llama-2-7b": LLAMA2_7B,
}
BLOCK = {"llama": "LlamaDecoderLayer", "mistral": "MistralDecoderLayer", "qwen2": "Qwen2DecoderLayer"}
SIZES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "nf4": CustomDtype.INT4, "int8": torch.int8}
MIB = 1 << 20

# model, size, strategy (None: max_memory as it is), max_memory; "cpu" alone is what a machine without a GPU has
CASES = [
    ("168M", "bfloat16", None, {"cpu": 1000 * MIB}),
    ("168M", "bfloat16", None, {"cpu": 300 * MIB}),
    ("168M", "bfloat16", None, {"cpu": 200 * MIB}),
    ("168M", "bfloat16", None, {"cpu": 100 * MIB}),
    ("168M", "bfloat16", None, {"cpu": 1}),
    ("168M", "float32", None, {"cpu": 600 * 10**6}),
    ("168M", "nf4", None, {"cpu": 180 * MIB}),
    ("168M", "nf4", None, {"cpu": 150 * MIB}),
    ("168M", "int8", None, {"cpu": 200 * MIB}),
    ("168M", "bfloat16", None, {"disk": 1 << 40, "cpu": 300 * MIB}),
    ("168M", "bfloat16", None, {0: 200 * MIB}),
    ("168M", "bfloat16", None, {0: 150 * MIB, "cpu": 150 * MIB}),
    ("168M", "bfloat16", None, {0: 150 * MIB, 1: 50 * MIB, "cpu": 60 * MIB}),
    ("168M", "bfloat16", "balanced", {0: 1000 * MIB, 1: 1000 * MIB}),
    ("168M", "nf4", "balanced", {0: 1000 * MIB, 1: 1000 * MIB, 2: 1000 * MIB}),
    ("168M", "int8", "balanced_low_0", {0: 300 * MIB, 1: 300 * MIB, "cpu": 1000 * MIB}),
    ("tiny", "bfloat16", None, {"cpu": 300_000}),
    ("tiny", "nf4", None, {0: 100_000, "cpu": 100_000}),
    ("tiny tied", "bfloat16", None, {"cpu": 300_000}),
    ("tiny tied", "float32", None, {0: 200_000, 1: 200_000, "cpu": 400_000}),
    ("tiny tied", "nf4", "balanced", {0: 200_000, 1: 200_000, "cpu": 400_000}),
    ("tiny biases", "bfloat16", None, {"cpu": 350_000}),
    ("tiny biases", "nf4", None, {"cpu": 200_000}),
    ("tiny qwen2", "int8", None, {"cpu": 260_000}),
    ("tiny qwen2", "int8", "balanced_low_0", {0: 100_000, 1: 200_000, 2: 200_000}),
    ("qwen2-0.5b", "bfloat16", None, {"cpu": 800 * MIB}),
    ("qwen2-0.5b", "nf4", "balanced", {0: 8 << 30, 1: 8 << 30}),
    ("mistral-7b", "bfloat16", None, {0: 8 << 30, "cpu": 4 << 30}),
    ("llama-2-7b", "nf4", None, {"cpu": 2 << 30}),
    ("llama-2-7b", "int8", "balanced", {0: 8 << 30, 1: 8 << 30, "cpu": 16 << 30}),
]


def made(keys):
    keys = dict(keys)
    config = AutoConfig.for_model(keys.pop("model_type"), **keys)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.tie_weights()
    return model


class Sizes:
    """transformers' quantizers count a quantized weight so; everything else by its dtype."""

    def __init__(self, model, name):
        self.linear = {f"{n}.weight" for n, m in model.named_modules()
                       if isinstance(m, torch.nn.Linear) and ".layers." in n}
        self.width = {"float32": 4, "bfloat16": 2, "nf4": 0.5, "int8": 1}[name]
        self.dtype = SIZES[name]
        rest = torch.float32 if name == "float32" else torch.bfloat16
        # the tables of rotary frequencies stay float32
        self.special = {n: rest for n, _ in model.named_parameters() if n not in self.linear}
        self.special |= {n: torch.float32 for n, _ in model.named_buffers()}
        self.special |= {n: self.dtype for n in self.linear}

    def param_element_size(self, model, name, param):
        return self.width if name in self.linear else 4 if self.special.get(name, torch.float32) == torch.float32 else 2


def case(name, size, strategy, memory, models={}):
    keys = MODELS[name]
    model = models.setdefault(name, made(keys))
    sizes = Sizes(model, size)
    blocks = [BLOCK[keys["model_type"]]]
    limits = dict(memory)
    if strategy:
        limits = get_balanced_memory(
            model, limits, blocks, dtype=sizes.dtype, special_dtypes=sizes.special, low_zero=strategy == "balanced_low_0")
    found = infer_auto_device_map(model, dict(limits), blocks, dtype=sizes.dtype, special_dtypes=sizes.special)
    theirs = copied.infer_auto_device_map(model, dict(limits), set(blocks), hf_quantizer=sizes)
    assert found == theirs, (name, size, strategy, memory)  # transformers has a copy of the function
    counted = compute_module_sizes(model, dtype=sizes.dtype, special_dtypes=sizes.special)
    return dict(
        model=name, size=size, strategy=strategy, max_memory={str(k): v for k, v in memory.items()},
        limits={str(k): float(v) for k, v in limits.items()},
        bytes={n: counted[n] for n in ("", "model.embed_tokens", "model.layers.0", "model.norm", "lm_head")},
        device_map={n: str(d) for n, d in found.items()})


def random_cases(count, seed):
    draw = random.Random(seed)
    for _ in range(count):
        name, size = draw.choice(list(MODELS)), draw.choice(list(SIZES))
        whole = compute_module_sizes(made(MODELS[name]))[""]
        gpus = draw.choice([0, 0, 1, 2, 3])
        memory = {g: int(whole * draw.random()) for g in range(gpus)}
        if gpus == 0 or draw.random() < 0.7:
            memory["cpu"] = int(whole * draw.random() * 1.5)
        yield name, size, draw.choice([None, "balanced", "balanced_low_0"]) if gpus else None, memory


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(
        "../../trainer/src/test/resources/golden/plan/device-maps.json")
    cases = list(random_cases(int(sys.argv[2]), int(sys.argv[3]))) if len(sys.argv) > 2 else CASES
    lines = ",\n  ".join(json.dumps(case(*each)) for each in cases)
    models = json.dumps({name: keys for name, keys in MODELS.items()})
    out.write_text(f'{{"models": {models},\n "cases": [\n  {lines}]}}\n')


main()
