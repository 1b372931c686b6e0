#!/usr/bin/env python3
"""The quick start's run on transformers + peft + bitsandbytes, from the same YAML file: a cross-check.

  python3 scripts/quickstart/check_with_peft.py [configs/quickstart.yaml] [--seed 42] [--wrong 5]

Written for torch 2.7.1, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2. Ends with the line that
`scripts/qlora train` ends with. The order of the rows and the adapter's first values differ from qlora4j's, so the
share of right answers agrees, not the losses.
"""
import argparse
import json
import time

import torch
import yaml
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, get_scheduler


def prompt(row):
    return "\n".join(["Human: " + row["instruction"], row["input"]]).strip() + "\n\nAssistant: "


def encode(tokenizer, text):
    return tokenizer(text, add_special_tokens=False).input_ids


def answers(model, tokenizer, held, rows=35):
    """Greedy answers, in batches padded on the left."""
    model.config.use_cache = True
    model.train()  # as in training: bitsandbytes repacks the weights in eval mode; there is no dropout
    heads = [encode(tokenizer, prompt(row)) for row in held]
    order, found = sorted(range(len(held)), key=lambda i: len(heads[i])), {}
    for at in range(0, len(order), rows):
        chunk = order[at:at + rows]
        width = max(len(heads[i]) for i in chunk)
        ids = [[tokenizer.pad_token_id] * (width - len(heads[i])) + heads[i] for i in chunk]
        mask = [[0] * (width - len(heads[i])) + [1] * len(heads[i]) for i in chunk]
        with torch.no_grad():
            out = model.generate(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), max_new_tokens=32,
                                 do_sample=False)
        for i, line in zip(chunk, out):
            found[i] = tokenizer.decode(line[width:], skip_special_tokens=True)
    return [found[i] for i in range(len(held))]


def right(found, held):
    return 100 * sum(text == row["output"] for text, row in zip(found, held)) / len(held)


def train(model, rows, pad, lora, training, seed):
    """Trains LoRA adapters as the YAML file says; bfloat16 ones with a float32 master copy."""
    model.config.use_cache = False
    model = get_peft_model(model, LoraConfig(
        r=lora["r"], lora_alpha=lora["lora_alpha"], target_modules=lora["target_modules"], task_type="CAUSAL_LM"))
    weights = [w for w in model.parameters() if w.requires_grad]
    for w in weights:
        w.data = w.data.to(getattr(torch, lora["dtype"]))
    masters = [w.detach().float().clone() for w in weights]
    size = training["per_device_train_batch_size"]
    steps = -(-len(rows) // size) * training["num_train_epochs"]
    optimizer = torch.optim.AdamW(masters, lr=training["learning_rate"], weight_decay=0.0)
    schedule = get_scheduler(training["lr_scheduler_type"], optimizer, training.get("warmup_steps", 0), steps)
    generator, step = torch.Generator().manual_seed(seed), 0
    for _ in range(training["num_train_epochs"]):
        for chunk in torch.randperm(len(rows), generator=generator).split(size):
            batch = [rows[i] for i in chunk.tolist()]
            width = max(len(ids) for ids, _ in batch)
            loss = model(
                input_ids=torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in batch]),
                attention_mask=torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in batch]),
                labels=torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in batch])).loss
            loss.backward()
            for w, master in zip(weights, masters):
                master.grad, w.grad = w.grad.float(), None
            torch.nn.utils.clip_grad_norm_(masters, training["max_grad_norm"])
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for w, master in zip(weights, masters):
                    w.copy_(master)
            step += 1
            if step % 25 == 0 or step == steps:
                print(f"step {step}/{steps}  loss {loss.item():.3f}", flush=True)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="configs/quickstart.yaml")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--wrong", type=int, default=0, help="show so many wrong answers")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value")
    args = parser.parse_args()
    with open(args.config, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    for change in args.set:
        key, value = change.split("=", 1)
        section, name = key.split(".")
        config[section][name] = yaml.safe_load(value)
    seed = config["training"]["seed"] if args.seed is None else args.seed
    torch.set_num_threads(args.threads)
    torch.manual_seed(seed)

    data, path, four = config["data"], config["model"]["path"], config["quantization"]
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.bfloat16, device_map="cpu", quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type=four["bnb_4bit_quant_type"],
            bnb_4bit_use_double_quant=four["bnb_4bit_use_double_quant"], bnb_4bit_compute_dtype=torch.bfloat16))
    with open(data["train"], encoding="utf-8") as file:
        rows = []
        for row in json.load(file):
            head, tail = encode(tokenizer, prompt(row)), encode(tokenizer, row["output"]) + [tokenizer.eos_token_id]
            rows.append(((head + tail)[:data["max_length"]], ([-100] * len(head) + tail)[:data["max_length"]]))
    with open(data["eval"], encoding="utf-8") as file:
        held = json.load(file)

    before = answers(model, tokenizer, held)
    start = time.time()
    model = train(model, rows, tokenizer.pad_token_id, config["lora"], config["training"], seed)
    seconds = time.time() - start
    after = answers(model, tokenizer, held)
    for found in (before, after):
        misses = [(row, text) for row, text in zip(held, found) if text != row["output"]]
        for row, text in misses[:args.wrong]:
            print(f"{row['instruction']} {row['input']}  expected {row['output']!r}, got {text!r}")
    print(f"{sum(len(ids) for ids, _ in rows):,} tokens a pass, longest row {max(len(ids) for ids, _ in rows)}, "
          f"trained in {seconds:.0f} s")
    print(f"held-out answers right: {right(before, held):.1f} % before, {right(after, held):.1f} % after "
          f"({len(held)} instructions)")


if __name__ == "__main__":
    main()
