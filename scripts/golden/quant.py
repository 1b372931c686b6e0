#!/usr/bin/env python3
"""Golden files of module quant: what bitsandbytes, safetensors and transformers give on a CPU.

Made with torch 2.7.1 (CPU), bitsandbytes 0.50.2, transformers 5.23.0, safetensors 0.8.0, Python 3.11, an x86-64 CPU
with AVX-512 and FMA, one thread.

    python scripts/golden/quant.py            # writes quant/src/test/resources/golden/

Large results are kept as SHA-256 of their bytes. Dequantized values are code x absmax in float32, rounded once, computed
here in plain torch: the native dequantizer of bitsandbytes is wrong for some shapes.
"""
import hashlib
import json
from pathlib import Path

import bitsandbytes.functional as F
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

GOLDEN = Path(__file__).resolve().parents[2] / "quant/src/test/resources/golden"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
BLOCKSIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)


def values(n, seed):
    """n float32 numbers from an integer hash; GoldenInputs.java has the same. Some stretches are 0 or subnormal."""
    i = np.arange(n, dtype=np.uint32)
    h = i * np.uint32(0x9E3779B1) + np.uint32(seed * 0x85EBCA6B & 0xFFFFFFFF)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    v = (h >> np.uint32(8)).astype(np.float32) * np.float32(2**-24) - np.float32(0.5)
    v = v * np.abs(v) * np.float32(2) ** -(i // 97 % 11).astype(np.float32)
    stretch = i // 300 % 13
    v[stretch == 5] = 0
    v[stretch == 7] *= np.float32(2**-126)
    return torch.from_numpy(v)


def sha(t):
    return hashlib.sha256(t.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def bits(t):
    return int(t.reshape(1).view(torch.int32).item())


def dequantized(packed, code, absmax, blocksize, n):
    p = packed.reshape(-1).to(torch.int64)
    index = torch.stack([p >> 4, p & 15], 1).reshape(-1)[:n]
    return code[index] * absmax.repeat_interleave(blocksize)[:n]


def four_bit():
    cases = []
    for kind in ("nf4", "fp4"):
        code = F.get_4bit_type(kind, device="cpu")
        for blocksize in BLOCKSIZES:
            for name, dtype in DTYPES.items():
                for rows, cols in ((1, 1), (3, 7), (37, 229), (130, 512)):
                    if rows > 1 and blocksize in (32, 128, 1024) and name != "bfloat16":
                        continue
                    n = rows * cols
                    a = values(n, blocksize + n).to(dtype).reshape(rows, cols)
                    packed, plain = F.quantize_4bit(a, blocksize=blocksize, quant_type=kind)
                    _, nested = F.quantize_4bit(a, blocksize=blocksize, quant_type=kind, compress_statistics=True)
                    expanded = F.dequantize_blockwise(nested.absmax, nested.state2) + nested.offset
                    case = dict(
                        type=kind,
                        blocksize=blocksize,
                        dtype=name,
                        rows=rows,
                        cols=cols,
                        seed=blocksize + n,
                        packed=sha(packed),
                        absmax=sha(plain.absmax),
                        nested=sha(nested.absmax),
                        nested_absmax=sha(nested.state2.absmax),
                        offset_bits=bits(nested.offset),
                    )
                    for out, to in DTYPES.items():
                        case["plain_" + out] = sha(dequantized(packed, code, plain.absmax, blocksize, n).to(to))
                        case["double_" + out] = sha(dequantized(packed, code, expanded, blocksize, n).to(to))
                    cases.append(case)
    return cases


def eight_bit():
    cases = []
    for map_name, signed in (("signed", True), ("unsigned", False)):
        code = F.create_dynamic_map(signed=signed)
        for name, dtype in DTYPES.items():
            for blocksize in (64, 256, 4096):
                for n in (1, 255, 40_001):
                    a = values(n, n + blocksize).to(dtype)
                    a = a if signed else a.abs()
                    q, state = F.quantize_blockwise(a, code=code, blocksize=blocksize)
                    full = code[q.to(torch.int64)] * state.absmax.repeat_interleave(blocksize)[:n]
                    case = dict(map=map_name, dtype=name, blocksize=blocksize, elements=n, seed=n + blocksize)
                    case.update(codes=sha(q), absmax=sha(state.absmax))
                    case.update({"out_" + out: sha(full.to(to)) for out, to in DTYPES.items()})
                    cases.append(case)
    return cases


def blockwise():
    golden = {
        "nf4": F.get_4bit_type("nf4", device="cpu").view(torch.int32).tolist(),
        "fp4": F.get_4bit_type("fp4", device="cpu").view(torch.int32).tolist(),
        "signed": F.create_dynamic_map(signed=True).view(torch.int32).tolist(),
        "unsigned": F.create_dynamic_map(signed=False).view(torch.int32).tolist(),
        "four_bit": four_bit(),
        "eight_bit": eight_bit(),
    }
    (GOLDEN / "blockwise.json").write_text(json.dumps(golden))


def mixed():
    """A file of every dtype, to compare our writer with, byte for byte."""
    save_file(
        {
            "b.flags": torch.tensor([True, False, True]),
            "a.bytes": torch.arange(5, dtype=torch.uint8),
            "ä.signed": torch.tensor([[-1], [1]], dtype=torch.int8),
            "c.short": torch.tensor([-2, 2, 300], dtype=torch.int16),
            "z.half": torch.tensor([0.5, -1.25, 65504.0], dtype=torch.float16),
            "y.brain": torch.tensor([[0.5, -1.25], [3.0, 1e30]], dtype=torch.bfloat16),
            "x.int": torch.tensor([7, -7], dtype=torch.int32),
            "w.float": torch.tensor(3.25),
            "v.double": torch.tensor([1.0 / 3], dtype=torch.float64),
            "u.long": torch.tensor([1 << 40], dtype=torch.int64),
            "t.empty": torch.empty(0, 4),
        },
        str(GOLDEN / "mixed.safetensors"),
        metadata={"format": "pt"},
    )


def llama():
    """A tiny model, and what transformers saves after quantizing it; the shards of one are small to have several."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=32,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    dense = GOLDEN / "llama-dense"
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(dense)
    for name, quantization, shard in (
        ("llama-nf4", dict(bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True), "5GB"),
        ("llama-fp4", dict(bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=False), "30KB"),
    ):
        quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16, **quantization)
        model = AutoModelForCausalLM.from_pretrained(dense, quantization_config=quantization, dtype=torch.bfloat16)
        model.save_pretrained(GOLDEN / name, max_shard_size=shard)


if __name__ == "__main__":
    torch.set_num_threads(1)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    mixed()
    blockwise()
    llama()
    for file in GOLDEN.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
