#!/usr/bin/env python3
"""Golden files of module quant: what bitsandbytes, safetensors and transformers give on a CPU.

Made with torch 2.7.1 (CPU), bitsandbytes 0.50.2, transformers 5.23.0, safetensors 0.8.0, Python 3.11, an x86-64 CPU
with AVX-512 and FMA, one thread.

    python scripts/golden/quant.py            # writes quant/src/test/resources/golden/
"""
from pathlib import Path

import torch
from safetensors.torch import save_file

GOLDEN = Path(__file__).resolve().parents[2] / "quant/src/test/resources/golden"


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


if __name__ == "__main__":
    torch.set_num_threads(1)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    mixed()
