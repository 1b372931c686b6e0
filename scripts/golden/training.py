"""Loss curves, gradients and adapters of peft, from a given first adapter, on fixed rows.

Versions: torch 2.7.1, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2. Needs golden/models (models.py first).
Writes golden/training; see the README.md there.
"""
import json
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import get_scheduler

from _tiny import MODELS, TRAINING, fresh, load, plain_4bit, read_jsonl, score, write_json, write_jsonl

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
STEPS = 50
# Rows of a micro-batch, micro-batches of a step, and where gradients are clipped, which some steps reach. A bfloat16
# loss is a mean of rounded logits: over few tokens it is as coarse as they are, so those steps have as many rows as a
# real one, and smaller gradients.
SHAPES = {"fp32": (2, 2, 1.0), "bf16": (8, 4, 0.42)}
LEARNING_RATE, WARMUP, WEIGHT_DECAY = 5e-3, 5, 0.01
# As transformers' Trainer.get_decay_parameter_names: biases and norms are not decayed.
NOT_DECAYED = "bias"

# name: (model, mode, LoraConfig's keys)
CASES = {
    "llama-gqa": ("llama-gqa", "fp32", {}),
    "llama-gqa-nf4-fp32": ("llama-gqa", "nf4-fp32", {}),
    "llama-gqa-nf4-bf16": ("llama-gqa", "nf4-bf16", {}),
    "llama-gqa-nf4-bf16-upcast": ("llama-gqa", "nf4-bf16-upcast", {}),
    "llama-gqa-bf16": ("llama-gqa", "bf16", {}),
    "llama-gqa-int8-fp32": ("llama-gqa", "int8-fp32", {}),
    "llama-gqa-int8-bf16": ("llama-gqa", "int8-bf16", {}),
    "llama-qv": ("llama-head-dim", "fp32", dict(target_modules=["q_proj", "v_proj"])),
    "llama-rslora": ("llama-tied", "fp32", dict(
        use_rslora=True, rank_pattern={"q_proj": 2, "layers.1.mlp.down_proj": 6}, alpha_pattern={"v_proj": 16})),
    "llama-modules-to-save": ("llama-theta", "fp32", dict(
        target_modules=["q_proj", "v_proj"], modules_to_save=["embed_tokens", "lm_head"])),
    "llama-bias-all": ("llama-bias", "fp32", dict(bias="all")),
    "llama-bias-lora-only": ("llama-bias", "fp32", dict(bias="lora_only", target_modules=["q_proj", "down_proj"])),
    "llama-layers": ("llama-rope-llama3", "fp32", dict(layers_to_transform=[1], layers_pattern="layers")),
    "mistral": ("mistral", "fp32", {}),
    "qwen2": ("qwen2", "fp32", dict(target_modules=["q_proj", "k_proj", "v_proj", "up_proj"])),
    "qwen2-tied": ("qwen2-tied", "fp32", {}),
}


def make_rows():
    """Rows of 5 to 60 tokens that can be learned: arithmetic progressions with noise; two in three have a prompt."""
    g = torch.Generator().manual_seed(7)
    draw = lambda low, high: int(torch.randint(low, high, (1,), generator=g))
    rows = []
    for i in range(40):
        n, at, stride = draw(5, 61), draw(0, 90), draw(1, 6)
        ids = []
        for _ in range(n):
            ids.append(4 + at % 90)
            at += stride if draw(0, 8) else draw(0, 90)
        ids[-1] = 2
        prompt = draw(1, n - 1) if i % 3 else 0
        rows.append(dict(input_ids=ids, labels=[-100] * prompt + ids[prompt:]))
    return rows


def shape_of(mode):
    return SHAPES["bf16" if "bf16" in mode else "fp32"]


def collate(rows, pad=3):
    n = max(len(r["input_ids"]) for r in rows)
    fill = lambda values, filler: torch.tensor([v + [filler] * (n - len(v)) for v in values])
    return dict(input_ids=fill([r["input_ids"] for r in rows], pad),
                labels=fill([r["labels"] for r in rows], -100),
                attention_mask=fill([[1] * len(r["input_ids"]) for r in rows], 0))


def learned(rows):
    """Labels that are predicted: the first token of a row has nothing before it."""
    return sum(label != -100 for r in rows for label in r["labels"][1:])


def first_adapter(model_name, mode, keys, out):
    """peft's adapter with B (and what is trained besides) moved off its start, so that every gradient is there."""
    torch.manual_seed(11)
    config = LoraConfig(**(dict(r=4, lora_alpha=8, target_modules=ALL, task_type="CAUSAL_LM") | keys))
    model = get_peft_model(load(MODELS / model_name, mode), config)
    # peft writes the base's path as it was given; the reader is to say where the base is
    model.peft_config["default"].base_model_name_or_path = model_name
    g = torch.Generator().manual_seed(13)
    with torch.no_grad():
        for name, w in model.named_parameters():
            if w.requires_grad:
                w.data = w.data.float()
                if "lora_B" in name:
                    w.normal_(0, 0.1, generator=g)
                elif "lora_A" not in name:
                    w.add_(torch.randn(w.shape, generator=g) * 0.02)
    save_adapter(model, out)


def save_adapter(model, out):
    fresh(out)
    model.save_pretrained(out, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    file = out / "adapter_config.json"
    config = json.loads(file.read_text())
    config["target_modules"] = sorted(config["target_modules"])  # a set, whose order changes with each process
    file.write_text(json.dumps(config, indent=2, sort_keys=True))


def start(model_name, mode, adapter):
    model = PeftModel.from_pretrained(load(MODELS / model_name, mode), adapter, is_trainable=True)
    model.config.use_cache = False
    for w in model.parameters():
        if w.requires_grad:
            w.data = w.data.float()
    return model.train()


def file_names(model):
    """The name in adapter_model.safetensors of each trained parameter."""
    by_data = {t.data_ptr(): name for name, t in get_peft_model_state_dict(model, save_embedding_layers=False).items()}
    return {name: by_data[w.data_ptr()] for name, w in model.named_parameters() if w.requires_grad}


def gradients(model_name, mode, adapter, rows):
    model = start(model_name, mode, adapter)
    loss = model(**collate(rows), num_items_in_batch=learned(rows)).loss
    loss.backward()
    names = file_names(model)
    return loss.item(), {names[n]: w.grad.float().clone() for n, w in model.named_parameters() if w.requires_grad}


def train(model_name, mode, adapter, rows, attention="sdpa"):
    model = start(model_name, mode, adapter)
    model.set_attn_implementation(attention)
    trained = {n: w for n, w in model.named_parameters() if w.requires_grad}
    optimizer = torch.optim.AdamW([
        dict(params=[w for n, w in trained.items() if NOT_DECAYED not in n], weight_decay=WEIGHT_DECAY),
        dict(params=[w for n, w in trained.items() if NOT_DECAYED in n], weight_decay=0.0)], lr=LEARNING_RATE)
    schedule = get_scheduler("cosine", optimizer, WARMUP, STEPS)
    size, accumulate, max_norm = shape_of(mode)
    curve, at = [], 0
    for step in range(1, STEPS + 1):
        batches = []
        for _ in range(accumulate):
            batches.append([rows[(at + i) % len(rows)] for i in range(size)])
            at += size
        count, total = sum(map(learned, batches)), 0.0
        for batch in batches:
            loss = model(**collate(batch), num_items_in_batch=count).loss
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(trained.values(), max_norm).item()
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        curve.append(dict(step=step, loss=total, grad_norm=norm, learning_rate=rate, learned_tokens=count,
                          tokens=sum(len(r["input_ids"]) for b in batches for r in b)))
    return model, curve


def main():
    only = sys.argv[1:]
    TRAINING.mkdir(parents=True, exist_ok=True)
    rows = make_rows()
    write_jsonl(TRAINING / "rows.jsonl", rows)
    for name, (model_name, mode, keys) in CASES.items():
        if only and name not in only:
            continue
        out = fresh(TRAINING / name)
        first_adapter(model_name, mode, keys, out / "first")
        size, accumulate, max_norm = shape_of(mode)
        loss, grads = gradients(model_name, mode, out / "first", rows[:2])
        save_file(grads, out / "gradients.safetensors")
        model, curve = train(model_name, mode, out / "first", rows)
        save_adapter(model, out / "trained")
        # what another order of the same arithmetic changes: the measure for tolerances
        _, other = train(model_name, mode, out / "first", rows, "eager")
        apart = {k: max(abs(a[k] - b[k]) for a, b in zip(curve, other)) for k in ("loss", "grad_norm")}
        trainable, everything = model.get_nb_trainable_parameters()
        write_json(out / "curve.json", dict(
            model=model_name, mode=mode, rows="../rows.jsonl", per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulate, max_steps=STEPS, learning_rate=LEARNING_RATE,
            lr_scheduler_type="cosine", warmup_steps=WARMUP, weight_decay=WEIGHT_DECAY, max_grad_norm=max_norm,
            adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8, not_decayed="names with 'bias'",
            trainable_parameters=trainable, all_parameters=everything, gradients_loss=loss,
            eager_attention_apart=apart, steps=curve))
        data = [r["input_ids"] for r in read_jsonl(MODELS / model_name / "logprobs.jsonl")]
        score(out / "logprobs.jsonl", lambda: PeftModel.from_pretrained(
            load(MODELS / model_name, mode), out / "trained").eval(), data)
        norms = [s["grad_norm"] for s in curve]
        print(f"{name}: {curve[0]['loss']:.4f} to {curve[-1]['loss']:.4f}, norms {min(norms):.2f}..{max(norms):.2f}, "
              f"{trainable} of {everything}, apart {apart['loss']:.1e} {apart['grad_norm']:.1e}, zero gradients: {sum(1 for g in grads.values() if not g.any())}", flush=True)


if __name__ == "__main__":
    main()
