"""Golden values of optimizers, clipping and schedules: trainer/src/test/resources/golden/optim/*.json.

Made with torch 2.7.1, transformers 5.23.0 and bitsandbytes 0.50.2 on a CPU with one thread:

    python scripts/golden/optim.py

Parameters and gradients come from a generator whose numbers are exact in float32, so that the tests make the same
ones. Of each update the SHA-256 of parameters and states is kept, of the last one also the second parameter's bytes.
"""

import base64
import hashlib
import json
import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
import bitsandbytes as bnb  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

OUT = Path(__file__).resolve().parents[2] / "trainer/src/test/resources/golden/optim"
VERSIONS = {
    "torch": torch.__version__.split("+")[0],
    "transformers": transformers.__version__,
    "bitsandbytes": bnb.__version__,
}
# 8-bit state begins at 4096 elements and has blocks of 256: below, at and above, in whole blocks and not.
SHAPES = [(3, 7), (46, 90), (32, 160), (63, 65), (64, 64), (3, 4099)]
UPDATES = 20
LR, BETAS, EPS, DECAY = 2e-3, (0.9, 0.999), 1e-8, 0.01


def numbers(seed, count, exponent):
    """24 random bits each, centred, times 2**exponent and a further 2**-(index // 256 % 4): exact in float32."""
    mask, x, out = (1 << 64) - 1, seed, []
    for i in range(count):
        x = (x * 6364136223846793005 + 1442695040888963407) & mask
        out.append(((x >> 40) - (1 << 23)) * 2.0 ** (exponent - 23 - i // 256 % 4))
    return torch.tensor(out, dtype=torch.float64).to(torch.float32)


def parameters(dtype=torch.float32):
    return [numbers(100 + i, s[0] * s[1], -2).view(s).to(dtype) for i, s in enumerate(SHAPES)]


def gradients(update):
    """The first 300 elements have no gradient in the first three updates, as LoRA's A has none while B is zero."""
    out = []
    for i, s in enumerate(SHAPES):
        g = numbers(1000 * (update + 1) + i, s[0] * s[1], -6 + update % 3)
        if update < 3:
            g[:300] = 0.0
        out.append(g.view(s))
    return out


def rate(update):
    return LR * (UPDATES - update) / UPDATES


def raw(t):
    return t.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def write(name, content):
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"versions": VERSIONS, **content}, indent=1)
    (OUT / f"{name}.json").write_text(text + "\n")


def run(make, states, dtype):
    """Updates float32 masters of parameters that start at `dtype`'s values; a bfloat16 parameter is the rounded master.

    Returns the hashes of each update, and the bytes after the last.
    """
    masters = [torch.nn.Parameter(p.float()) for p in parameters(dtype)]
    optimizer = make(masters)
    updates, last = [], {}
    for k in range(UPDATES):
        for p, g in zip(masters, gradients(k)):
            p.grad = g.clone()
        for group in optimizer.param_groups:
            group["lr"] = rate(k)
        optimizer.step()
        last = {}
        for i, p in enumerate(masters):
            last[f"{i}"] = raw(p.to(dtype))
            if dtype != torch.float32:
                last[f"{i}.master"] = raw(p)
            for ours, theirs in states.items():
                value = optimizer.state[p].get(theirs)
                if value is not None and not (ours.startswith("exp") and value.dtype == torch.uint8):
                    if not (ours.startswith("state") and value.dtype != torch.uint8):
                        last[f"{i}.{ours}"] = raw(value)
        updates.append({key: hashlib.sha256(value).hexdigest()[:16] for key, value in last.items()})
    return updates, last


BNB = {"exp_avg": "state1", "exp_avg_sq": "state2", "state1": "state1", "state2": "state2",
       "absmax1": "absmax1", "absmax2": "absmax2", "qmap1": "qmap1", "qmap2": "qmap2"}
TORCH = {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}


def optimizers():
    usual = dict(lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY)
    other = dict(lr=LR, betas=(0.8, 0.95), eps=1e-5, weight_decay=0.0)
    # those that must agree with the first of their row: paging changes nothing
    kinds = {
        "adamw_torch": ([torch.optim.AdamW], TORCH),
        "paged_adamw_32bit": ([bnb.optim.PagedAdamW32bit, bnb.optim.AdamW32bit], BNB),
        "adamw_8bit": ([bnb.optim.AdamW8bit, bnb.optim.PagedAdamW8bit], BNB),
    }
    for name, (classes, states) in kinds.items():
        for suffix, keys, dtype in (("", usual, torch.float32), ("_bf16", usual, torch.bfloat16),
                                    ("_other", other, torch.float32)):
            updates, last = run(lambda p: classes[0](p, **keys), states, dtype)
            for same in classes[1:]:
                assert run(lambda p: same(p, **keys), states, dtype)[0] == updates, f"{same.__name__} {suffix}"
            kept = {k: base64.b64encode(v).decode() for k, v in last.items() if k.startswith("1") and not suffix}
            write(name + suffix, {"updates": updates, "last": kept})


def clipping():
    cases = []
    for max_norm in (1.0, 0.03, 1000.0):
        for update in (0, 5):
            grads = gradients(update)
            holders = [torch.nn.Parameter(torch.zeros_like(g)) for g in grads]
            for h, g in zip(holders, grads):
                h.grad = g
            norm = torch.nn.utils.clip_grad_norm_(holders, max_norm).item()
            hashes = [hashlib.sha256(raw(h.grad)).hexdigest()[:16] for h in holders]
            cases.append({"max_norm": max_norm, "update": update, "norm": norm, "clipped": hashes})
    write("clipping", {"cases": cases})


def schedules():
    cases = []
    for name in ("linear", "cosine", "constant", "constant_with_warmup", "polynomial"):
        for warmup, total in ((0, 10), (3, 17), (10, 100), (0, 1), (5, 6)):
            for kwargs in ({}, {"lr_end": 1e-5, "power": 2.0}) if name == "polynomial" else ({},):
                optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-4)
                schedule = transformers.get_scheduler(
                    name, optimizer, num_warmup_steps=warmup, num_training_steps=total, scheduler_specific_kwargs=kwargs
                )
                rates = []
                for _ in range(total):
                    rates.append(optimizer.param_groups[0]["lr"])
                    optimizer.step()
                    schedule.step()
                cases.append({"type": name, "lr": 2e-4, "warmup": warmup, "total": total, **kwargs, "rates": rates})
    write("schedules", {"cases": cases})


if __name__ == "__main__":
    torch.set_num_threads(1)
    optimizers()
    clipping()
    schedules()
