#!/usr/bin/env python3
"""Golden files of LLM.int8() in module quant: what bitsandbytes' Linear8bitLt gives on a CPU, what transformers saves.

Made with torch 2.7.1 (CPU), bitsandbytes 0.50.2, transformers 5.23.0, Python 3.11, an x86-64 CPU with AVX-512, one
thread; after quant.py, whose tiny model and numbers it takes. The gradient is asserted here to be that of a product with
the dense weight, so the dense weight is what is kept of it. Results that no order of sums can change are kept as SHA-256.

    python scripts/golden/int8.py            # writes quant/src/test/resources/golden/int8.json and llama-int8/
"""
import base64
import json
import logging

import bitsandbytes as bnb
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from quant import DTYPES, GOLDEN, sha, values

# tokens, in, out
SHAPES = ((1, 16, 8), (1, 70, 33), (2, 1, 1), (5, 33, 7), (12, 129, 9), (17, 700, 65))
THRESHOLDS = (0.0, 6.0, 2.5)


def raw(t):
    return base64.b64encode(t.detach().contiguous().view(torch.uint8).numpy().tobytes()).decode()


def outliers(tokens, cols):
    """[row, column, value]: at the threshold exactly, beyond it, below it, and a row whose largest ones are outliers."""
    if cols < 16 or cols > 500:
        return []
    last = tokens - 1
    return [[0, 3, 6.0], [0, 9, 5.996], [last, 3, -11.5], [last, cols - 1, 40.0], [tokens // 2, 7, -2.5]]


def layer(weight, dtype, threshold, bias):
    linear = bnb.nn.Linear8bitLt(*reversed(weight.shape), bias=bias is not None, has_fp16_weights=False,
                                 threshold=threshold)
    linear.weight = bnb.nn.Int8Params(weight.to(dtype), requires_grad=False, has_fp16_weights=False)
    if bias is not None:
        linear.bias = torch.nn.Parameter(bias.to(dtype), requires_grad=False)
    return linear.to("cpu").eval()


def case(name, dtype, tokens, cols, rows, threshold, places, with_bias):
    seed = 1000 * rows + cols
    weight = values(rows * cols, seed).reshape(rows, cols)
    x = (values(tokens * cols, seed + 1).reshape(tokens, cols) * 16).to(dtype)
    for row, column, value in places:
        x[row, column] = value
    gy = values(tokens * rows, seed + 2).reshape(tokens, rows).to(dtype)
    linear = layer(weight, dtype, threshold, values(rows, seed + 3) if with_bias else None)
    codes, scales = linear.weight.CB.clone(), linear.weight.SCB.clone()
    x.requires_grad_(True)
    y = linear(x)
    y.backward(gy)
    dense = codes.to(dtype).mul_(scales.unsqueeze(1).mul(1.0 / 127.0))
    assert torch.equal(x.grad, gy @ dense)
    return dict(dtype=name, tokens=tokens, cols=cols, rows=rows, seed=seed, threshold=threshold, outliers=places,
                bias=with_bias, codes=sha(codes), scales=sha(scales), dense=sha(dense), y=raw(y) if places else sha(y))


def products():
    cases = []
    for name, dtype in DTYPES.items():
        for tokens, cols, rows in SHAPES:
            for threshold in THRESHOLDS:
                for places in ([], outliers(tokens, cols))[: 2 if 16 <= cols <= 500 else 1]:
                    if places or threshold != 2.5:
                        cases.append(case(name, dtype, tokens, cols, rows, threshold, places, tokens in (1, 5)))
    (GOLDEN / "int8.json").write_text(json.dumps(cases) + "\n")


def llama():
    quantization = BitsAndBytesConfig(load_in_8bit=True)
    model = AutoModelForCausalLM.from_pretrained(GOLDEN / "llama-dense", quantization_config=quantization)
    out = GOLDEN / "llama-int8"
    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    for file in out.iterdir():
        file.chmod(0o644)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    products()
    llama()
