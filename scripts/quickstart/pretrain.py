#!/usr/bin/env python3
"""Pre-trains the quick start's base model from scratch: its tokenizer, then a small Llama, on make_text.py's text.

  python3 pretrain.py --text text.txt --output examples/quickstart/model

Written for Python 3.11, torch 2.7.1, transformers 5.23.0, tokenizers 0.23.3. Six to ten minutes on 2 cores. One seed;
the last bits of the weights depend on the processor and the number of threads.
"""
import argparse
import json
import time
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

SEED = 7
VOCABULARY = 2048
SPECIAL = ["<pad>", "<s>", "</s>"]
SEQUENCE, ROWS, STEPS, WARMUP, RATE = 96, 40, 900, 50, 2e-3


def train_tokenizer(lines):
    """Byte-level BPE in which a space is a token of its own, so that a word is the same token wherever it stands."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}|[^\p{L}\p{N}]"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def write_tokenizer(tokenizer, output):
    tokenizer.save(str(output / "tokenizer.json"), pretty=False)
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512,
              "clean_up_tokenization_spaces": False, **names}
    (output / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (output / "special_tokens_map.json").write_text(json.dumps(names, indent=2) + "\n", encoding="utf-8")


def pretrain(ids, vocabulary):
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=vocabulary, hidden_size=256, intermediate_size=448, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=4, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, use_cache=False))
    print(f"{model.num_parameters():,} parameters, {len(ids):,} tokens of text", flush=True)
    matrices = [w for w in model.parameters() if w.dim() > 1]
    others = [w for w in model.parameters() if w.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=RATE, betas=(0.9, 0.95), fused=True)
    # Up in a straight line, level, then down in a straight line over the last half.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min((i + 1) / WARMUP, 1.0, 2 * (STEPS - i) / STEPS))
    generator, order, start = torch.Generator().manual_seed(SEED), [], time.time()
    for step in range(1, STEPS + 1):
        if len(order) < ROWS:  # the next pass, cut into rows at another place
            offset = torch.randint(SEQUENCE, (1,), generator=generator).item()
            rows = torch.arange(offset, len(ids) - SEQUENCE, SEQUENCE)
            order = rows[torch.randperm(len(rows), generator=generator)].tolist()
        batch = torch.stack([ids[at:at + SEQUENCE] for at in order[:ROWS]])
        del order[:ROWS]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step == 1 or step % 50 == 0:
            print(f"step {step}/{STEPS}  loss {loss.item():.3f}  {time.time() - start:.0f} s", flush=True)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lines = args.text.read_text(encoding="utf-8").splitlines()
    tokenizer = train_tokenizer(lines)
    ids = [i for line in tokenizer.encode_batch(lines) for i in line.ids + [2]]
    model = pretrain(torch.tensor(ids), tokenizer.get_vocab_size())
    args.output.mkdir(parents=True, exist_ok=True)
    model.config.use_cache = True
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0, do_sample=False)
    model.to(torch.bfloat16).save_pretrained(args.output)
    write_tokenizer(tokenizer, args.output)


if __name__ == "__main__":
    main()
