#!/usr/bin/env python3
"""What `compare` is to find of models/llama: linear layers there and back in torch, the model scored by transformers.

Versions: those of requirements.txt (torch 2.7.1, transformers 5.23.0, bitsandbytes 0.50.2, scipy 1.17.1).
"""
import math

import _tiny
import bitsandbytes.functional as F
import torch
from schemes import absmax_quantize, coded, groups, zeropoint_quantize

DIRECTORY = _tiny.GOLDEN / "compare"
ROWS = [8, 31, 60, 17, 44]


def grouped(x, granularity, quantize):
    back = torch.empty(x.numel())
    parts = groups(x, granularity)
    for part in parts:
        back[part] = quantize(x.reshape(-1)[part])[1]
    return back.reshape(x.shape), len(parts)


def schemes():
    for granularity in ("tensor", "row", "column", "block64"):
        yield "absmax-int8", granularity, lambda x, g=granularity: bits(grouped(x, g, lambda v: absmax_quantize(v, 127)), 8, 32)
    for granularity in ("tensor", "row", "column", "block64"):
        yield "zeropoint-int8", granularity, lambda x, g=granularity: bits(grouped(x, g, lambda v: zeropoint_quantize(v, 8)), 8, 64)
    yield "absmax-int3", "row", lambda x: bits(grouped(x, "row", lambda v: absmax_quantize(v, 3)), 3, 32)
    yield "nf4", "block64", nf4
    yield "nf4-double", "block64", nf4_double


def bits(result, code_bits, group_bits):
    back, count = result
    return back, code_bits * back.numel() + group_bits * count


def nf4(x):
    code = F.get_4bit_type("nf4", device="cpu")
    _, absmax, back = coded(x, code, 64)
    return back.reshape(x.shape), 4 * x.numel() + 32 * len(absmax)


def nf4_double(x):
    packed, state = F.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=True)
    absmax = F.dequantize_blockwise(state.absmax, state.state2) + state.offset
    code = F.get_4bit_type("nf4", device="cpu")
    p = packed.reshape(-1).long()
    back = code[torch.stack([p >> 4, p & 15], 1).reshape(-1)] * absmax.repeat_interleave(64)
    n = len(absmax)
    return back.reshape(x.shape), 4 * x.numel() + 8 * n + 32 * (math.ceil(n / 256) + 1)


def perplexity(model, rows):
    total, count = 0.0, 0
    with torch.no_grad():
        for ids in rows:
            ids = torch.tensor([ids])
            logprobs = torch.log_softmax(model(ids).logits[0, :-1].double(), -1)
            total -= logprobs.gather(1, ids[0, 1:, None]).sum().item()
            count += ids.numel() - 1
    return math.exp(total / count)


def main():
    _tiny.fresh(DIRECTORY)
    generator = torch.Generator().manual_seed(7)
    rows = [torch.randint(4, 128, (n,), generator=generator).tolist() for n in ROWS]
    _tiny.write_jsonl(DIRECTORY / "rows.jsonl", [{"input_ids": row} for row in rows])
    load = lambda: _tiny.AutoModelForCausalLM.from_pretrained(_tiny.MODELS / "llama", dtype=torch.float32).eval()
    expected = [{"scheme": "unquantized", "perplexity": perplexity(load(), rows)}]
    for name, granularity, quantize in schemes():
        model = load()
        squared, signal, largest, kept, count = 0.0, 0.0, 0.0, 0, 0
        for key, weight in model.named_parameters():
            if key.endswith("_proj.weight"):
                x = weight.detach().clone()
                back, size = quantize(x)
                error = back.double() - x.double()
                squared += (error * error).sum().item()
                signal += (x.double() ** 2).sum().item()
                largest = max(largest, error.abs().max().item())
                kept += size
                count += x.numel()
                weight.data.copy_(back.to(torch.bfloat16).float())  # the dtype of the file
        expected.append(
            dict(
                scheme=name,
                granularity=granularity,
                bits_per_weight=kept / count,
                mse=squared / count,
                max_error=largest,
                snr_db=10 * math.log10(signal / squared),
                perplexity=perplexity(model, rows),
            )
        )
    _tiny.write_json(DIRECTORY / "expected.json", expected)
    for file in DIRECTORY.rglob("*"):
        file.chmod(0o644)


if __name__ == "__main__":
    main()
