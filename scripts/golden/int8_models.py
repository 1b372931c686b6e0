"""Log-probabilities of tiny models under LLM.int8(), each row by itself: columns of outliers are those of a whole batch.

Versions: torch 2.7.1, transformers 5.23.0, bitsandbytes 0.50.2. Needs golden/models (models.py first).
Writes golden/int8; see the README.md of golden. The mode int8-1.5-fp32 has the threshold 1.5, so that there are outliers.

A rounding of float32 that falls the other way can move an activation to the next of its 255 codes. How far two right
answers lie apart is measured here by another attention kernel, which sums in another order; MODEL-MODE.json has it.
"""
import logging

import torch

from _tiny import GOLDEN, MODELS, fresh, load, logprobs, read_jsonl, score, write_json

MODES = ("int8-fp32", "int8-0-fp32", "int8-1.5-fp32", "int8-bf16", "int8-1.5-bf16")


def outlier_columns(model, rows):
    """How many columns of how many inputs of linear layers hold outliers: a mode without any would test nothing."""
    found = []

    def hook(layer, inputs):
        if layer.state.threshold > 0:
            x = inputs[0].detach().half().abs().reshape(-1, inputs[0].shape[-1])
            found.append(int((x >= layer.state.threshold).any(0).sum()))

    handles = [layer.register_forward_pre_hook(hook) for layer in model.modules()
               if type(layer).__name__ == "Linear8bitLt"]
    for ids in rows:
        logprobs(model, ids)
    for handle in handles:
        handle.remove()
    return sum(found)


def main():
    out = fresh(GOLDEN / "int8")
    for name in ("llama-gqa", "qwen2"):
        rows = [r["input_ids"] for r in read_jsonl(MODELS / name / "logprobs.jsonl")]
        for mode in MODES:
            model = load(MODELS / name, mode)
            columns = outlier_columns(model, rows)
            first = score(out / f"{name}-{mode}.jsonl", lambda: model, rows)
            model.set_attn_implementation("eager")
            differences = [abs(a - b) for row in first for a, b in zip(row["logprobs"], logprobs(model, row["input_ids"]))]
            apart = dict(model=name, mode=mode, outlier_columns=columns, largest=max(differences),
                         mean=sum(differences) / len(differences))
            write_json(out / f"{name}-{mode}.json", apart)
            print(apart, flush=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
