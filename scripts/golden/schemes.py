#!/usr/bin/env python3
"""Golden file of quant.scheme: integers, codes and quantiles as torch, bitsandbytes, scipy and numpy give them on a CPU.

Made with torch 2.7.1 (CPU), bitsandbytes 0.50.2, scipy 1.17.1, numpy 2.4.6, Python 3.11, an x86-64 CPU with AVX-512,
one thread.

    python scripts/golden/schemes.py          # writes quant/src/test/resources/golden/schemes.json

absmax and zero-point are the few lines that everybody writes in torch; block-wise codes are bitsandbytes' own torch
(backends/default/ops.py, exact nearest neighbours), which its 8-bit CPU kernel approximates.
"""
import hashlib
import json
import math

import bitsandbytes.functional as F
import numpy as np
import torch
from quant import GOLDEN, bits, sha, values
from scipy.stats import norm


def ints(t):
    return t.contiguous().view(torch.int32).tolist()


def groups(x, granularity, blocksize=64):
    """Index tensors of the groups that share a scale, in the order of their first elements."""
    index = torch.arange(x.numel()).reshape(x.shape)
    if granularity == "tensor":
        return [index.reshape(-1)]
    if granularity == "row":
        return list(index)
    if granularity == "column":
        return list(index.T)
    return list(index.reshape(-1).split(blocksize))


def absmax_quantize(x, most):
    if x.abs().max() == 0:
        return torch.zeros_like(x), torch.zeros_like(x)
    scale = most / torch.max(torch.abs(x))
    q = (scale * x).round()
    return q, q / scale


def zeropoint_quantize(x, bits):
    x_range = torch.max(x) - torch.min(x)
    x_range = torch.max(x).abs() if x_range == 0 else x_range  # a constant comes back as it is
    if x_range == 0:
        return torch.zeros_like(x), torch.zeros_like(x)
    lowest = -(2 ** (bits - 1))
    scale = (2**bits - 1) / x_range
    zeropoint = (-scale * torch.min(x) + lowest).round()
    q = torch.clip((x * scale + zeropoint).round(), lowest, -lowest - 1)
    return q, (q - zeropoint) / scale


def coded(x, code, blocksize):
    """bitsandbytes' quantize_blockwise of backends/default/ops.py, and code x absmax."""
    n = x.numel()
    out, absmax = torch.empty(n, dtype=torch.uint8), []
    bounds = (code[:-1] + code[1:]) / 2
    flat = x.reshape(-1)
    for start in range(0, n, blocksize):
        block = flat[start : start + blocksize]
        if len(block) == blocksize:
            am = block.abs().max()
            scaled = block * (1.0 / am.clamp(min=1e-38))
        else:
            am = block.abs().max().clamp(min=1e-38)
            scaled = block / am
        out[start : start + blocksize] = torch.bucketize(torch.clamp(scaled, -1, 1), bounds, out_int32=True)
        absmax.append(am)
    absmax = torch.stack(absmax)
    return out, absmax, code[out.long()] * absmax.repeat_interleave(blocksize)[:n]


def fidelity(x, y):
    x, e = x.double().reshape(-1), (y.double() - x.double()).reshape(-1)
    noise = (e * e).sum().item()
    return dict(
        mse=noise / len(e),
        max_error=e.abs().max().item(),
        snr_db=10 * math.log10((x * x).sum().item() / noise) if noise else None,
    )


def integers():
    cases = []
    x = values(41 * 67, 3).reshape(41, 67)
    x[:, 5] = 0.25  # a constant column
    x[7] = -0.125  # and row
    for name, quantize in (("absmax", lambda v, b: absmax_quantize(v, 2 ** (b - 1) - 1)), ("zeropoint", zeropoint_quantize)):
        for width in (2, 4, 8):
            for granularity in ("tensor", "row", "column", "block64"):
                q, back = torch.empty(x.numel()), torch.empty(x.numel())
                for group in groups(x, granularity):
                    q[group], back[group] = quantize(x.reshape(-1)[group], width)
                case = dict(scheme=name, bits=width, granularity=granularity, codes=sha(q.to(torch.int8)), values=sha(back + 0.0))
                cases.append(case | fidelity(x, back.reshape(x.shape)))
    return cases


def normal_quantiles(k):
    p = np.arange(1, 2**k + 1) / (2**k + 1)
    ppf = norm.ppf(p)
    ppf = (ppf - ppf[::-1]) / 2  # exactly symmetric
    q = (ppf[:-1] + ppf[1:]) / 2
    return q


def own_quantiles(x, k):
    p = np.arange(1, 2**k + 1) / (2**k + 1)
    found = np.quantile(np.asarray(x, dtype=np.float64), p)
    return (found[:-1] + found[1:]) / 2


def normalized(q):
    return torch.unique(torch.from_numpy((q / np.abs(q).max()).astype(np.float32)))


def codes():
    unique = torch.unique
    made = {
        "normal-map": unique(F.create_normal_map()),
        "normal-map-symmetric": unique(F.create_normal_map(use_extra_value=False)),
        "normal-map-0.95": unique(F.create_normal_map(offset=0.95)),
    }
    for k in range(2, 9):
        for exponent in range(1, k):
            made[f"dynamic-signed-{exponent}-{k}"] = unique(F.create_dynamic_map(True, exponent, k))
        made[f"dynamic-unsigned-{k - 1}-{k}"] = unique(F.create_dynamic_map(False, k - 1, k))
        for signed in (True, False):
            for zero in (True, False):
                made[f"linear-{signed}-{k}-{zero}".lower()] = unique(F.create_linear_map(signed, k, zero))
            for exponent in range(1, min(7, k - signed) + 1):
                precision = k - signed - exponent
                made[f"fp8-{signed}-{exponent}-{precision}".lower()] = unique(F.create_fp8_map(signed, exponent, precision, k))
        made[f"normal-{k}"] = normalized(normal_quantiles(k))
        made[f"quantiles-{k}"] = normalized(own_quantiles(values(5000, 11), k))
    # long ones as their SHA-256
    made = {name: code + 0.0 for name, code in made.items()}  # no -0
    return {name: ints(code) if len(code) <= 16 else sha(code) for name, code in made.items()}


def block_codes():
    cases = []
    x = values(3001, 17)
    for name, code in (
        ("nf4", F.get_4bit_type("nf4", device="cpu")),
        ("fp4", torch.unique(F.get_4bit_type("fp4", device="cpu"))),
        ("dynamic8", F.create_dynamic_map()),
        ("linear3", torch.unique(F.create_linear_map(True, 3))),
        ("linear8", torch.unique(F.create_linear_map(True, 8))),
        ("normal5", normalized(normal_quantiles(5))),
    ):
        for blocksize in (64, 4096):
            q, absmax, back = coded(x, code, blocksize)
            case = dict(scheme=f"{name}:block{blocksize}", codes=sha(q), absmax=sha(absmax), values=sha(back + 0.0))
            cases.append(case | fidelity(x, back))
    return cases


def quantiles():
    p = np.concatenate([np.logspace(-12, -0.31, 60), 1 - np.logspace(-9, -0.31, 40)])
    return dict(probabilities=p.tolist(), quantiles=norm.ppf(p).tolist(), x=[-3.5, -1.0, 0.0, 0.25, 2.0], cdf=norm.cdf([-3.5, -1.0, 0.0, 0.25, 2.0]).tolist())


if __name__ == "__main__":
    torch.set_num_threads(1)
    spread = [float(np.abs(normal_quantiles(k)).max()) for k in range(2, 9)]
    golden = dict(codes=codes(), spread=spread, integers=integers(), blocks=block_codes(), normal=quantiles())
    file = GOLDEN / "schemes.json"
    file.write_text(json.dumps(golden, indent=0).replace("\n", "") + "\n")
    file.chmod(0o644)
