"""What the golden scripts share: where files go, tiny models, how a model is loaded and scored.

Versions: those of requirements.txt (torch 2.7.1, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2).
"""
import json
import os
import pathlib
import shutil

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "trainer" / "src" / "test" / "resources" / "golden"
MODELS = GOLDEN / "models"
TRAINING = GOLDEN / "training"

# Multiples of 64, so that bitsandbytes' dequantizer on a CPU is a reference for the 4-bit modes.
WIDE = dict(vocab_size=128, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=3,
            tie_word_embeddings=False)
# For what is only compared unquantized.
NARROW = WIDE | dict(vocab_size=96, hidden_size=32, intermediate_size=48)


def fresh(directory):
    """An empty directory."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def write_json(file, value):
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_jsonl(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_jsonl(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def make_model(name, family, keys, seed, dtype="bfloat16", shard="5GB", under=MODELS):
    """Random weights wide enough that logits differ; norms and biases off their defaults.

    Tied embeddings are small: as the head they would favour the very token that was read, and greedy text repeat it.
    """
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **keys)
    model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for key, w in model.named_parameters():
            if w.dim() >= 2:
                w.normal_(0, (0.2 if config.tie_word_embeddings else 1.0) if "embed" in key else 1.2 / w.shape[-1] ** 0.5)
            elif key.endswith("bias"):
                w.normal_(0, 0.1)
            else:
                w.copy_(1 + 0.1 * torch.randn_like(w))
    out = fresh(under / name)
    model.to(getattr(torch, dtype)).save_pretrained(out, max_shard_size=shard)
    (out / "generation_config.json").unlink(missing_ok=True)
    return out


def load(directory, mode="fp32"):
    """The model in one of the modes of README.md; every mode but bf16 and …-bf16… computes in float32."""
    dtype = torch.bfloat16 if "bf16" in mode else torch.float32
    quant = {}
    if mode[:3] in ("nf4", "fp4"):
        quant = dict(quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type=mode[:3], bnb_4bit_compute_dtype=dtype,
            bnb_4bit_use_double_quant="single" not in mode))
    elif mode[:4] == "int8":
        threshold = float(mode.split("-")[1]) if mode.count("-") > 1 else 6.0
        quant = dict(quantization_config=BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=threshold))
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, device_map="cpu", **quant)
    if "upcast" in mode:
        from peft import prepare_model_for_kbit_training
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return model.eval()


def plain_4bit(model):
    """In eval mode bitsandbytes repacks weights for another kernel; training mode dequantizes and multiplies."""
    for layer in model.modules():
        if type(layer).__name__ == "Linear4bit":
            layer.training = True
    return model


def logprobs(model, ids):
    """ln p(ids[i + 1] | ids[..i]) for every i."""
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].float()
    return logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:], dtype=torch.long)[:, None])[:, 0].tolist()


def score(file, make, rows):
    """Scores each row by a model that make() has just loaded, and writes the scores."""
    out = scores(make, rows)
    write_jsonl(file, out)
    return out


def scores(make, rows):
    """Dynamic rope remembers the longest row it has seen, so each row gets a model of its own there."""
    model, out = None, []
    for ids in rows:
        if model is None or getattr(model.config, "rope_parameters", {}).get("rope_type") == "dynamic":
            model = plain_4bit(make())
        out.append(dict(input_ids=ids, logprobs=[round(v, 8) for v in logprobs(model, ids)]))
    return out


def apart_from_itself(make, rows, found):
    """How far transformers comes out from itself where it sums in another order, the measure for tolerances.

    Once with its other attention kernel (eager, not sdpa), once with all rows in one padded batch.
    """
    eager = plain_4bit(make())
    eager.set_attn_implementation("eager")
    padded = plain_4bit(make())
    n = max(map(len, rows))
    ids = torch.tensor([row + [3] * (n - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (n - len(row)) for row in rows])
    with torch.no_grad():
        lines = padded(ids, attention_mask=mask, use_cache=False).logits.float().log_softmax(-1)
    together = [line[:len(row) - 1].gather(1, torch.tensor(row[1:], dtype=torch.long)[:, None])[:, 0].tolist()
                for line, row in zip(lines, rows)]
    measured = {}
    for way, other in (("eager", [logprobs(eager, row) for row in rows]), ("padded", together)):
        gaps = [abs(a - b) for one, theirs in zip(found, other) for a, b in zip(one["logprobs"], theirs)]
        measured[way] = dict(largest=round(max(gaps), 8), mean=round(sum(gaps) / len(gaps), 8))
    return measured
