#!/usr/bin/env python3
"""Golden files of GPTQ and AWQ weights: what auto-gptq 0.7.1 and autoawq 0.2.9 solve, search, quantize and pack.

Made with torch 2.7.1 (CPU), safetensors 0.8.0, Python 3.11, one thread.

    python scripts/golden/grouped.py            # writes quant/src/test/resources/golden/grouped/

Inputs come from an integer hash that GoldenInputs.java has too. Dequantized weights are kept as SHA-256 of their bytes.
The calibration inputs are multiples of 1/8 and there are two samples of them, so that a Hessian is exact in float32 in
whatever order it is summed: both sides solve with the same one.
"""
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import _originals

GOLDEN = Path(__file__).resolve().parents[2] / "quant/src/test/resources/golden/grouped"
DTYPES = {"float32": torch.float32, "float16": torch.float16}


def uniform(n, seed):
    """n float32 numbers from -0.5 to 0.5 from an integer hash; GoldenInputs.java has the same."""
    i = np.arange(n, dtype=np.uint32)
    h = i * np.uint32(0x9E3779B1) + np.uint32(seed * 0x85EBCA6B & 0xFFFFFFFF)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return torch.from_numpy((h >> np.uint32(8)).astype(np.float32) * np.float32(2**-24) - np.float32(0.5))


def activations(samples, tokens, width, seed):
    """Multiples of 1/8, some columns larger than others, one of them always zero."""
    x = torch.round(uniform(samples * tokens * width, seed).reshape(samples, tokens, width) * 16)
    x = x * (1 + torch.arange(width) % 5) / 8
    x[:, :, 5] = 0
    return x


def sha(t):
    return hashlib.sha256(t.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def linear(weight, bias=None):
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    layer.weight.data = weight.clone()
    if bias is not None:
        layer.bias.data = bias.clone()
    return layer


def gptq_case(original, bits, sym, act_order, static, group, dtype, rows, cols, seed):
    gptq, _, qlinear = original
    layer = linear(uniform(rows * cols, seed).reshape(rows, cols).to(DTYPES[dtype]))
    solver = gptq.GPTQ(layer)
    solver.quantizer.configure(bits, perchannel=True, sym=sym, mse=False)
    solver.add_batch(activations(2, cols, cols, seed + 1), None)
    with torch.no_grad():
        scales, zeros, g_idx = solver.fasterquant(
            percdamp=0.01, group_size=group, actorder=act_order, static_groups=static)
    dequantized = layer.weight.data.clone()
    packed = qlinear.QuantLinear(bits, group, cols, rows, False, weight_dtype=DTYPES[dtype])
    packed.pack(layer, scales, zeros.clone(), g_idx)
    eye = torch.eye(cols, dtype=DTYPES[dtype])
    dense = packed(eye).t()
    assert torch.equal(dense.float(), dequantized.float()) or dtype == "float16"
    assert zeros.min() > 0, "a zero point of 0 spoils its neighbours in auto-gptq's packer"
    tensors = dict(qweight=packed.qweight, qzeros=packed.qzeros, scales=packed.scales, g_idx=packed.g_idx)
    wide = packed.scales.float()[packed.g_idx.long()] * (dense.float().t() / packed.scales.float()[packed.g_idx.long()]).round()
    case = dict(bits=bits, sym=sym, desc_act=act_order, static_groups=static, group_size=group, dtype=dtype, rows=rows,
                cols=cols, seed=seed, dense=sha(dense), dense_float32=sha(wide.t()), dense_bfloat16=sha(
                    wide.t().to(torch.bfloat16)))
    return case, tensors


def gptq():
    original = _originals.auto_gptq()
    cases, tensors = [], {}
    seed = 0
    choices = [(b, s, a, False, g, d, 32, 64) for b, s, a, g, d in itertools.product(
        (2, 3, 4, 8), (True, False), (False, True), (32,), ("float16",))]
    choices += [(4, True, True, True, 32, "float16", 32, 64), (4, False, False, True, 32, "float32", 32, 64),
                (4, True, False, False, -1, "float32", 32, 64), (3, False, True, False, -1, "float16", 32, 64),
                # more columns than one block of the solver has, and groups that end in the middle of one
                (4, True, True, False, 64, "float32", 32, 160), (4, False, False, False, 48, "float16", 32, 160)]
    for choice in choices:
        seed += 10
        case, parts = gptq_case(original, *choice, seed)
        cases.append(case)
        tensors.update({f"case{seed}.{key}": value.contiguous() for key, value in parts.items()})
    # batches of one, two and one samples: the running mean of the Hessian
    solver = original[0].GPTQ(linear(torch.zeros(1, 32)))
    for samples, tokens, at in ((1, 3, 1000), (2, 5, 1001), (1, 7, 1002)):
        solver.add_batch(activations(samples, tokens, 32, at), None)
    tensors["hessian"] = solver.H
    save_file(tensors, str(GOLDEN / "gptq.safetensors"))
    (GOLDEN / "gptq.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")


def awq_quantizer(original, group):
    """The quantizer without a model around it."""
    quantizer = object.__new__(original[0].AwqQuantizer)
    quantizer.w_bit, quantizer.group_size, quantizer.zero_point = 4, group, True
    quantizer.duo_scaling, quantizer.n_parallel_calib_samples, quantizer.max_chunk_memory = True, None, 1 << 30
    quantizer.version = "gemm"
    return quantizer


def awq():
    original = _originals.autoawq()
    cases, tensors = [], {}
    for seed, (rows, cols, group) in ((2000, (64, 64, 32)), (2010, (32, 128, 128)), (2020, (64, 96, -1))):
        quantizer = awq_quantizer(original, group)
        layer = linear(uniform(rows * cols, seed).reshape(rows, cols).half(), uniform(rows, seed + 1).half())
        layer.weight.data[:, : max(group, 32)] += 0.75  # groups without negative numbers: the zero point is clamped
        layer.weight.data, scales, zeros = quantizer.pseudo_quantize_tensor(layer.weight.data)
        packed = original[2].WQLinear_GEMM.from_linear(
            layer, 4, group if group > 0 else cols, scales=scales.t().contiguous(), zeros=zeros.t().contiguous())
        dense = original[3].dequantize_gemm(packed.qweight, packed.qzeros, packed.scales, 4, packed.group_size).t()
        cases.append(dict(group_size=group, rows=rows, cols=cols, seed=seed, dense=sha(dense)))
        for key in ("qweight", "qzeros", "scales"):
            tensors[f"case{seed}.{key}"] = getattr(packed, key).contiguous()
    tensors.update(awq_search(original))
    save_file(tensors, str(GOLDEN / "awq.safetensors"))
    (GOLDEN / "awq.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")


class Mlp(torch.nn.Module):
    def __init__(self, width, inner, seed):
        super().__init__()
        self.gate_proj = linear(uniform(inner * width, seed).reshape(inner, width))
        self.up_proj = linear(uniform(inner * width, seed + 1).reshape(inner, width))
        self.down_proj = linear(uniform(inner * width, seed + 2).reshape(width, inner))

    def forward(self, x):
        return self.down_proj(torch.nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


def on_device(module):
    """The search puts weights aside by .cpu(), a copy on a GPU; on a CPU it is none, and the search spoils them."""
    plain = module.state_dict
    module.state_dict = lambda: {key: value.clone() for key, value in plain().items()}
    return module


def awq_search(original):
    """Scales of a lone layer and of two that share an input, then clipping, in float32."""
    quantizer = awq_quantizer(original, 32)
    out = {}
    with torch.no_grad():
        mlp = on_device(Mlp(64, 128, 3000))
        x = activations(3, 20, 64, 3010) + uniform(3 * 20 * 64, 3011).reshape(3, 20, 64) / 4
        layers = [mlp.gate_proj, mlp.up_proj]
        out["search.mlp"] = quantizer._search_best_scale(mlp, mlp.down_proj, layers, x, module2inspect=mlp)[2]
        alone = on_device(mlp.down_proj)
        inner = torch.nn.functional.silu(mlp.gate_proj(x)) * mlp.up_proj(x)
        out["search.down"] = quantizer._search_best_scale(mlp, mlp.up_proj, [alone], inner)[2]
        out["search.clip"] = quantizer._compute_best_clip(mlp.gate_proj.weight, x)
        # more tokens than the 512 that clipping looks at
        many = activations(4, 300, 64, 3020)
        out["search.clip_strided"] = quantizer._compute_best_clip(mlp.up_proj.weight, many)
    return {key: value.contiguous() for key, value in out.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    gptq()
    awq()
    for file in GOLDEN.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
