"""Makes trainer/src/test/resources/golden/sampling.json: what transformers' logits processors leave of some logits.

Made with transformers 5.23.0, torch 2.7.1. Each case: logits, the tokens seen, the settings, and the probabilities after
repetition penalty, temperature, top-k and top-p, in the order of generate(); 0 is a token that cannot be drawn.
"""
import json
import sys
from pathlib import Path

import torch
from transformers.generation.logits_process import (
    RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

SETTINGS = [
    dict(temperature=1.0), dict(temperature=0.3), dict(temperature=2.5), dict(temperature=1.0, top_k=1),
    dict(temperature=0.7, top_k=5), dict(temperature=1.0, top_k=1000), dict(temperature=1.0, top_p=0.1),
    dict(temperature=0.8, top_p=0.6), dict(temperature=1.3, top_k=8, top_p=0.9),
    dict(temperature=1.0, repetition_penalty=1.3), dict(temperature=1.0, repetition_penalty=0.8),
    dict(temperature=0.9, top_k=6, top_p=0.7, repetition_penalty=1.2),
]


def main(root):
    random = torch.Generator().manual_seed(11)
    cases = []
    for i, settings in enumerate(SETTINGS):
        logits = torch.randn(24, generator=random) * 3
        if i % 3 == 1:
            logits = logits.round()  # ties
        seen = torch.randint(0, 24, (6,), generator=random)
        scores = logits[None].clone()
        processors = []
        if "repetition_penalty" in settings:
            processors.append(RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
        if settings["temperature"] != 1.0:
            processors.append(TemperatureLogitsWarper(settings["temperature"]))
        if "top_k" in settings:
            processors.append(TopKLogitsWarper(settings["top_k"]))
        if "top_p" in settings:
            processors.append(TopPLogitsWarper(settings["top_p"]))
        for processor in processors:
            scores = processor(seen[None], scores)
        probabilities = scores.double().softmax(-1)[0]
        cases.append(dict(settings=settings, seen=seen.tolist(), logits=logits.tolist(),
                          probabilities=probabilities.tolist()))
    path = Path(root) / "sampling.json"
    path.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "trainer/src/test/resources/golden")
