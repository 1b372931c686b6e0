"""The Python side of scripts/bench/compare: makes the model and the rows, and trains the same job with peft.

transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2, torch 2.7.1 (scripts/golden/requirements.txt).

  python peer.py make DIR        a 168-million-parameter Llama of random weights, its tokenizer, rows of 512 random ids
  python peer.py train DIR N     N steps of 2 x 512 ids, NF4 with double quantization, r 8 on all linear layers; prints JSON
"""
import json
import os
import pathlib
import random
import resource
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, PreTrainedTokenizerFast


def make(directory):
    from tokenizers import Tokenizer, models, pre_tokenizers
    torch.manual_seed(0)
    config = LlamaConfig(hidden_size=1024, intermediate_size=2816, num_hidden_layers=8, num_attention_heads=16,
                         num_key_value_heads=16, vocab_size=32000, max_position_embeddings=2048, bos_token_id=1,
                         eos_token_id=2, pad_token_id=0)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(directory)
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, 32000)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
                            unk_token="<pad>").save_pretrained(directory)
    draw = random.Random(1)
    with open(pathlib.Path(directory) / "rows.jsonl", "w", encoding="utf-8") as rows:
        for _ in range(64):
            rows.write(json.dumps({"input_ids": [draw.randrange(4, 32000) for _ in range(512)]}) + "\n")


def train(directory, steps):
    from peft import LoraConfig, get_peft_model
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.bfloat16, device_map="cpu",
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                               bnb_4bit_use_double_quant=True,
                                               bnb_4bit_compute_dtype=torch.bfloat16))
    model.config.use_cache = False
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4, weight_decay=0.0)
    rows = [json.loads(line)["input_ids"] for line in open(pathlib.Path(directory) / "rows.jsonl", encoding="utf-8")]
    model.train()
    rates = []
    for step in range(steps):
        ids = torch.tensor(rows[2 * step % 64:][:2])
        start = time.time()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        rates.append(ids.numel() / (time.time() - start))
    rates = sorted(rates[2:])
    print(json.dumps(dict(tokens_per_s=rates[len(rates) // 2],
                          peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)))


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    train(sys.argv[2], int(sys.argv[3]))
