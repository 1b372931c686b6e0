"""The Python side of scripts/compare/curves.

torch 2.7.1, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2 (scripts/golden/requirements.txt).

  python curves.py make DIR        tokenized rows and the adapter that both sides start from
  python curves.py commands DIR    the command lines of qlora4j, words apart by tabs
  python curves.py judge DIR       trains the same with peft, prints the table; ends with 1 where a bound is exceeded
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "golden"))
from _tiny import load, read_jsonl, write_jsonl  # noqa: E402
import bitsandbytes as bnb  # noqa: E402
import torch  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from transformers import AutoTokenizer, get_scheduler  # noqa: E402

MODEL = ROOT / "examples" / "quickstart" / "model"
STEPS, BATCH, ACCUMULATE, RATE, WARMUP, DECAY, CLIP = 50, 4, 4, 2e-3, 5, 0.01, 1.0
OPTIMIZERS = {
    "adamw_torch": torch.optim.AdamW, "paged_adamw_32bit": bnb.optim.PagedAdamW32bit,
    "adamw_8bit": bnb.optim.AdamW8bit, "paged_adamw_8bit": bnb.optim.PagedAdamW8bit,
}
# how the base is read, the optimizer, the bound; where rounding to 8 bits of state or of a number turns the course, so that
# peft is further than half of it from itself, twice that distance takes its place
RUNS = [("fp32", "adamw_torch", 1e-4), ("fp32", "paged_adamw_32bit", 1e-4), ("fp32", "adamw_8bit", 1e-4),
        ("nf4-fp32", "adamw_torch", 1e-4),
        ("nf4-bf16", "adamw_torch", 2e-3), ("nf4-bf16", "paged_adamw_32bit", 2e-3), ("nf4-bf16", "paged_adamw_8bit", 2e-3)]


def make(work):
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    encode = lambda text: tokenizer(text, add_special_tokens=False).input_ids
    rows = []
    for row in json.loads((ROOT / "examples/quickstart/instructions.json").read_text(encoding="utf-8")):
        head = encode("\n".join(["Human: " + row["instruction"], row["input"]]).strip() + "\n\nAssistant: ")
        tail = encode(row["output"]) + [tokenizer.eos_token_id]
        rows.append(dict(input_ids=head + tail, labels=[-100] * len(head) + tail))
    write_jsonl(work / "rows.jsonl", rows[:STEPS * BATCH * ACCUMULATE])
    torch.manual_seed(1)
    get_peft_model(load(MODEL), LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")) \
        .save_pretrained(work / "first")


def commands(work):
    (work / "run.yaml").write_text(f"""
model: {{path: {MODEL}}}
data: {{train: rows.jsonl, format: tokenized, max_length: 128, shuffle: false, cache_dir: cache}}
lora: {{adapter: first, dtype: float32}}
training: {{max_steps: {STEPS}, per_device_train_batch_size: {BATCH}, gradient_accumulation_steps: {ACCUMULATE},
           learning_rate: {RATE}, warmup_steps: {WARMUP}, lr_scheduler_type: cosine, weight_decay: {DECAY},
           max_grad_norm: {CLIP}, save_strategy: "no", threads: 1}}
""", encoding="utf-8")
    for mode, optimizer, _ in RUNS:
        dtype = "bfloat16" if "bf16" in mode else "float32"
        sets = [f"model.dtype={dtype}", f"training.output_dir={mode}-{optimizer}", f"training.optim={optimizer}"]
        if mode != "fp32":
            sets.append(f"quantization.bnb_4bit_compute_dtype={dtype}")
        print("\t".join(["train", "run.yaml", *[word for s in sets for word in ("--set", s)]]))


def collate(rows, pad=0):
    n = max(len(r["input_ids"]) for r in rows)
    fill = lambda values, filler: torch.tensor([v + [filler] * (n - len(v)) for v in values])
    return dict(input_ids=fill([r["input_ids"] for r in rows], pad), labels=fill([r["labels"] for r in rows], -100),
                attention_mask=fill([[1] * len(r["input_ids"]) for r in rows], 0))


def learned(rows):
    return sum(label != -100 for r in rows for label in r["labels"][1:])


def train(work, mode, optimizer_name, attention="sdpa"):
    model = PeftModel.from_pretrained(load(MODEL, mode), work / "first", is_trainable=True).train()
    model.config.use_cache = False
    model.set_attn_implementation(attention)
    weights = [w for w in model.parameters() if w.requires_grad]
    optimizer = OPTIMIZERS[optimizer_name](weights, lr=RATE, weight_decay=DECAY)
    schedule = get_scheduler("cosine", optimizer, WARMUP, STEPS)
    rows, losses, norms, at = read_jsonl(work / "rows.jsonl"), [], [], 0
    for _ in range(STEPS):
        batches = [rows[(at + b * BATCH):(at + (b + 1) * BATCH)] for b in range(ACCUMULATE)]
        at += BATCH * ACCUMULATE
        count, total = sum(map(learned, batches)), 0.0
        for batch in batches:
            loss = model(**collate(batch), num_items_in_batch=count).loss
            loss.backward()
            total += loss.item()
        norms.append(torch.nn.utils.clip_grad_norm_(weights, CLIP).item())
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(total)
    return losses, norms


def judge(work):
    beyond = []
    print("| base | optimizer | loss, first to last step | steps clipped | largest difference of a step's loss | mean | "
          "peft against itself, eager attention | bound |\n" + "| --- " * 8 + "|", flush=True)
    for mode, optimizer, bound in RUNS:
        theirs, norms = train(work, mode, optimizer)
        eager, _ = train(work, mode, optimizer, "eager")
        ours = [row["loss"] for row in read_jsonl(work / f"{mode}-{optimizer}" / "metrics.jsonl")]
        assert len(ours) == len(theirs) == STEPS, (len(ours), len(theirs))
        gaps = [abs(a - b) for a, b in zip(ours, theirs)]
        itself = max(abs(a - b) for a, b in zip(eager, theirs))
        bound = max(bound, 2 * itself)
        print(f"| {mode} | {optimizer} | {theirs[0]:.4f} to {theirs[-1]:.4f} | {sum(n > CLIP for n in norms)} | "
              f"{max(gaps):.1e} | {sum(gaps) / STEPS:.1e} | {itself:.1e} | {bound:.1e} |", flush=True)
        if max(gaps) > bound:
            beyond.append(f"{mode}, {optimizer}: {max(gaps):.1e} at step {gaps.index(max(gaps)) + 1}")
    if beyond:
        sys.exit("beyond the bound:\n  " + "\n  ".join(beyond))


if __name__ == "__main__":
    dict(make=make, commands=commands, judge=judge)[sys.argv[1]](pathlib.Path(sys.argv[2]))
